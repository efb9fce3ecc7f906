"""Drop-in replacements for the modules by which pipelines tell their status: change the import, no more.

- `ragpulse.compat.status_server`: `pipeline_status`, `PipelineStatus`, `start_status_server`.
- `ragpulse.compat.supabase_status`: `init_status_tracker`.

Both keep their old surface and also report every call to the hub. In one process they speak as one reporter: a file
that is told to both is reported once. What is imported here does no I/O and starts no thread.
"""
