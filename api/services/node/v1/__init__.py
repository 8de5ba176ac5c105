"""The services of `spacemesh.v1`: a module each, which gives the methods of its service by their names.

`convert` turns records into messages, `requests` judges what clients ask, `following` is what streams have in common.
Specified in protocol 10-api, sections 1.7, 3 and 9.
"""
