"""The process boundary: the add-on's end (`protocol`, `client`) and the worker's end (`worker`, `jobs`)."""
