"""HTTP as the monitor and the bridges serve it: starlette applications under uvicorn, TLS and
tokens. Needs the packages of the extra `monitor` or `http`."""
