-- The index key is rotated: a row may have the hash that moves to another key written anew.
--
-- Of `payment_intent` that is the merchant's reference, of `provider_event` the provider's type; both
-- are looked up by, and unique in no table. A hash under a later key than the first has that key's id
-- in the four bytes before it. What is unique stays under the first key.

-- Whether two versions of a row differ in such a hash alone, and that by its key.
CREATE FUNCTION is_hashed_anew(before jsonb, after jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    place text := CASE WHEN before ? 'create_key' THEN 'reference_index'
                       WHEN before ? 'type_index' THEN 'type_index' END;
    was text := before ->> place;
    is_now text := after ->> place;
BEGIN
    -- As text: \x, then two digits a byte.
    RETURN coalesce(
        before - place = after - place
        AND length(was) IN (34, 42) AND length(is_now) = 42
        AND (length(was) = 34 OR left(was, 10) <> left(is_now, 10)), false);
END $$;

-- As before, and that as well: every function that lets a row be sealed anew asks this one.
CREATE OR REPLACE FUNCTION is_sealed_anew(before record, after record) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    seal bytea := after.sealed;
BEGIN
    IF seal = before.sealed THEN
        RETURN is_hashed_anew(to_jsonb(before), to_jsonb(after));
    END IF;
    IF length(seal) < 45 OR length(seal) <> length(before.sealed) OR substr(seal, 1, 1) <> '\x01'
       OR substr(seal, 1, 5) = substr(before.sealed, 1, 5) THEN
        RETURN false;
    END IF;
    after.sealed := before.sealed;
    RETURN after IS NOT DISTINCT FROM before;
END $$;
