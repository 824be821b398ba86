-- outside a transaction
-- Tables that grow for ever are partitioned by month: audit entries, the merchants' events, and the
-- bodies of provider events, which move out of `provider_event`. A month that is done with can then
-- be taken away as a whole. The time is that of the insertion, in UTC whatever the session's zone is.
--
-- What must be unique for ever (a provider event, an idempotency key) is in tables that are not
-- partitioned: a unique key of a partitioned table holds within a month only.
--
-- Each statement may be repeated, and none keeps a commit waiting: the rows that there are stay where
-- they are, in the partition `..._before`. They are looked through beside the commits.

-- What is said of a partition as well as of its table: who names it directly meets the same refusals.
CREATE OR REPLACE PROCEDURE guard_partition(place regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', place);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_truncate', place);
    CALL keep_older_writers_out(place);
END $$;

-- The partitions of a table with their bounds. `begins` is null for the rows of before, both are null
-- for the default partition, which takes what no month takes.
CREATE OR REPLACE FUNCTION months_of(parent regclass)
RETURNS TABLE (place regclass, begins timestamptz, ends timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
    SELECT c.oid::regclass,
           substring(bound FROM 'FROM \(''([^'']+)''\)')::timestamptz,
           substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
    WHERE i.inhparent = parent
$$;

-- The months that a table lacks, from its first one to `ahead` months after this one, the last one
-- first: once this month is made, commits need the default partition no more. What is older than the
-- first one was taken away, and is not made again.
CREATE OR REPLACE FUNCTION months_missing(parent regclass, ahead integer) RETURNS SETOF timestamptz
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
    SELECT month
    FROM (SELECT date_trunc('month', clock_timestamp()) AS at) this
    CROSS JOIN LATERAL generate_series(
        (SELECT least(coalesce(min(coalesce(begins, ends)), this.at),
                      this.at + make_interval(months => ahead)) FROM months_of(parent)),
        this.at + make_interval(months => ahead),
        interval '1 month') AS month
    WHERE NOT EXISTS (
        SELECT FROM months_of(parent) m
        WHERE m.ends > month AND (m.begins <= month OR m.begins IS NULL))
    ORDER BY month DESC
$$;

-- Makes the partition of a month, with the rows of it that the default partition has taken: returns
-- how many. The default partition is locked until the end, and nothing else that a commit needs.
CREATE OR REPLACE FUNCTION make_month(parent regclass, begins timestamptz) RETURNS bigint
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    ends   timestamptz := begins + interval '1 month';
    named  text;
    at     text;
    spare  regclass;
    moved  bigint;
BEGIN
    SELECT format('%s_%s', c.relname, to_char(begins, 'YYYY_MM')), a.attname,
           (SELECT place FROM months_of(parent) m WHERE m.begins IS NULL AND m.ends IS NULL)
    INTO named, at, spare
    FROM pg_class c JOIN pg_partitioned_table p ON p.partrelid = c.oid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
    WHERE c.oid = parent;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE
                    INCLUDING INDEXES, PRIMARY KEY (merchant, id))', named, parent);
    CALL guard_partition(named::regclass);
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', spare);
    EXECUTE format('SELECT count(*) FROM %s WHERE %I >= $1 AND %I < $2', spare, at, at)
        INTO moved USING begins, ends;
    IF moved > 0 THEN
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER no_update', spare);
        EXECUTE format('WITH gone AS (DELETE FROM %s WHERE %I >= $1 AND %I < $2 RETURNING *)
                        INSERT INTO %I SELECT * FROM gone', spare, at, at, named) USING begins, ends;
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_update', spare);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   parent, named, begins, ends);
    RETURN moved;
END $$;

-- While a table is laid out: a row that is past the rows of before goes where it will be looked for.
CREATE OR REPLACE FUNCTION put_past_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I SELECT ($1).*', TG_TABLE_NAME || '_default') USING NEW;
    RETURN NULL;
END $$;

-- Makes a table into one that is partitioned, its rows into the partition of all that was before the
-- next month. It ends at once where that is done, and goes on where it was interrupted.
--
-- The rows must be known to end there before they can be attached without being read under a lock.
-- From the moment when that is claimed of them, a later row goes into a child of the table, so that
-- however long it takes none is refused, and none is missed by who reads.
CREATE OR REPLACE PROCEDURE lay_out_by_month(name text, at text) LANGUAGE plpgsql AS $$
DECLARE
    before   text := name || '_before';
    spare    text := name || '_default';
    claim    text;
    ends     timestamptz;
    is_empty boolean;
    astray   tid[];
    made     record;
BEGIN
    IF EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = name::regclass) THEN
        RETURN;
    END IF;
    IF to_regclass(spare) IS NULL THEN
        ends := (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 month')
                AT TIME ZONE 'UTC';
        claim := 'before_' || to_char(ends AT TIME ZONE 'UTC', 'YYYY_MM');
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE,
                        PRIMARY KEY (merchant, id)) INHERITS (%I)', spare, name, name);
        CALL guard_partition(spare::regclass);
        EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', spare);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_update', spare);
        EXECUTE format('CREATE TRIGGER past_before BEFORE INSERT ON %I FOR EACH ROW
                        WHEN (NEW.%I >= %L::timestamptz) EXECUTE FUNCTION put_past_before()',
                       name, at, ends);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER past_before', name);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I < %L::timestamptz)
                        NO INHERIT NOT VALID', name, claim, at, ends);
        COMMIT;
    ELSE
        SELECT conname INTO claim FROM pg_constraint
        WHERE conrelid = name::regclass AND contype = 'c' AND starts_with(conname, 'before_');
        ends := (to_date(right(claim, 7), 'YYYY_MM'))::timestamp AT TIME ZONE 'UTC';
    END IF;

    -- Rows that a clock far ahead has made are past that too.
    EXECUTE format('SELECT array_agg(ctid) FROM ONLY %I WHERE %I >= $1', name, at)
        INTO astray USING ends;
    IF astray IS NOT NULL THEN
        EXECUTE format('ALTER TABLE ONLY %I DISABLE TRIGGER no_update', name);
        EXECUTE format('WITH gone AS (DELETE FROM ONLY %I WHERE ctid = ANY ($1) RETURNING *)
                        INSERT INTO %I SELECT * FROM gone', name, spare) USING astray;
        EXECUTE format('ALTER TABLE ONLY %I ENABLE ALWAYS TRIGGER no_update', name);
        COMMIT;
    END IF;
    EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', name, claim);
    COMMIT;

    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM ONLY %I)', name) INTO is_empty;
    EXECUTE format('ALTER TABLE %I NO INHERIT %I', spare, name);
    EXECUTE format('DROP TRIGGER past_before ON %I', name);
    EXECUTE format('DROP TRIGGER no_update ON %I', name);
    EXECUTE format('DROP TRIGGER no_update ON %I', spare);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, before);
    EXECUTE format('ALTER INDEX %I RENAME TO %I', name || '_pkey', before || '_pkey');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)
                    PARTITION BY RANGE (%I)', name, before, at);
    -- The table has the indexes of before under their names; attached to it, those of a partition
    -- that are alike become parts of them, and are not made anew.
    FOR made IN
        SELECT c.relname AS index, pg_get_indexdef(c.oid) AS definition
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = before::regclass AND NOT i.indisprimary
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', made.index,
                       replace(made.index, name, before));
        EXECUTE regexp_replace(made.definition, ' ON \S+ ', format(' ON %I ', name));
    END LOOP;
    EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON %I
                    FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_update', name);
    CALL guard_partition(name::regclass);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I DEFAULT', name, spare);
    IF is_empty THEN
        EXECUTE format('DROP TABLE %I', before);
    ELSE
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       name, before, ends);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', before, claim);
    END IF;
    COMMIT;
END $$;

-- What the provider sent, byte for byte; its event has the same id and the same time.
DO $$
BEGIN
    IF to_regclass('provider_event_body') IS NULL THEN
        CREATE TABLE provider_event_body (
            merchant    text NOT NULL,
            id          text NOT NULL,
            received_at timestamptz NOT NULL,
            sealed      bytea NOT NULL,
            PRIMARY KEY (merchant, id)
        );
        ALTER TABLE provider_event_body ALTER COLUMN sealed SET STORAGE EXTERNAL;
        CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON provider_event_body
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        ALTER TABLE provider_event_body ENABLE ALWAYS TRIGGER no_update;
        CREATE TRIGGER no_truncate BEFORE TRUNCATE ON provider_event_body
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        ALTER TABLE provider_event_body ENABLE ALWAYS TRIGGER no_truncate;
        CALL keep_older_writers_out('provider_event_body');
    END IF;
END $$;

CALL lay_out_by_month('provider_event_body', 'received_at');
CALL lay_out_by_month('event', 'created_at');
CALL lay_out_by_month('audit_entry', 'at');

DROP PROCEDURE IF EXISTS lay_out_by_month(text, text);
DROP FUNCTION IF EXISTS put_past_before();
