"""The certifier: checks a proof of space-time and signs that its node holds one, so that PoET servers let it in.

`config.load` reads the configuration, `certify` has the verdict and the certificate, `app.run` serves. Specified in
protocol 01-post-tools, section 6, and 02-poet-client, section 5.
"""
