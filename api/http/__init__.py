"""What small HTTP services share: addresses, answers, how they start and how they end.

`listen` takes ports and ends with a signal's exit code, `answers` builds responses. The HTTP connections themselves
are `api.services.poet.http1`.
"""
