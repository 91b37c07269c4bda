"""What programs are told: the JSON of `saga … --json` and of the API is one and the same.

Times are RFC 3339 in UTC, durations are in milliseconds, what is not known or not there is null.
"""
