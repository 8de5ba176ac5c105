"""HTTP for every program: one server, one client, bounds on what is read, and a JSON gateway from descriptors.

`server.HttpServer` listens and keeps deadlines and bounds, `answers.Answer` is what a handler returns, `bodies` reads
request bodies, `bounded_json` looks at JSON before it is parsed, `client` asks others, `gateway` turns the annotations
of protobuf services into routes, `openapi` describes them, `cors` says to whose pages they answer. All of it stands on
aiohttp.
"""
