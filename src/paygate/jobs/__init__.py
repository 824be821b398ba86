"""What may be asked of the worker, and the queue that carries it.

Messages live below the flows so that a commit can enqueue them; handlers live above.
"""
