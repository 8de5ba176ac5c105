"""k2pow for others: the HTTP service that searches one RandomX proof of work at a time.

`app.run` is the service; `api.clients.k2pow` asks one or several such services, ours or the network's own. Specified in
protocol 01-post-tools, section 5.
"""
