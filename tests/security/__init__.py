"""What a hostile server, network, neighbour or file can do to us, threat by threat.

Each threat has a number, and each number stands beside the tests that keep it away: modules below
`tests`, and after `::` how the name of a test begins. `test_table` checks that they are there.

    T01  the key in a repr, a pickle ...      security/test_key_canary test_key pure/test_secret
    T02  a redirect takes the key along       security/test_one_origin test_key
    T03  a link says where to ask             security/test_one_origin pure/test_trust test_key
    T04  an id walks the path                 security/test_one_origin pure/test_trust
    T05  a link leads into our network        security/test_tripwire pure/test_addresses
    T06  a name leads elsewhere next time     security/test_tripwire test_storage
    T07  a host in odd letters or numbers     security/test_tripwire pure/test_links
    T08  proxies and .netrc                   security/test_one_origin test_proxies
    T09  no TLS, or somebody else's           security/test_one_origin test_storage pure/test_trust
    T10  a bomb                               security/test_bounds test_unpacking
    T11  a body that is endless, or drips     security/test_bounds test_storage
    T12  JSON that hurts                      security/test_bounds pure/test_wire_json
    T13  headers that hurt                    security/test_bounds
    T14  a name that is a path                pure/test_trust test_download_faults
    T15  something planted under our names    security/test_planted test_partfile
    T16  files that others can read           security/test_permissions test_ledger_opening
    T17  the key in the ledger                security/test_key_canary
    T18  the key in logs and tracebacks       security/test_key_canary test_webhook_core
    T19  the key on a command line            security/test_key_canary
    T20  a server that repeats the key        security/test_key_canary pure/test_secret
    T21  a forged webhook                     security/test_forgeries
    T22  a repeated or late webhook           security/test_forgeries test_webhook_core
    T23  a flood of webhooks                  security/test_forgeries test_webhook_listener
    T24  the token of a webhook in a log      security/test_key_canary test_webhook_frameworks
    T25  a link in a webhook                  security/test_tripwire test_webhook_frameworks
    T26  text that acts on a terminal         security/test_foreign_text pure/test_trust
    T27  cells that are formulas              security/test_foreign_text
    T28  text that is markup                  security/test_foreign_text
    T29  text that makes lines of a log       security/test_foreign_text
    T30  text that is a template              security/test_foreign_text
    T31  a cookie                             security/test_sessions test_storage
    T32  a pool for keyed and unkeyed         security/test_sessions test_storage
    T33  a parameter that reads a file        pure/test_requests test_webhook_core
    T34  a manifest that pays twice           test_manifest::test_what_must_be_unique
         or has no end                        test_manifest::test_a_row_of_too_many_lines
         or costs more than was meant         test_batch_money::test_a_limit_of_cost
    T35  the same batch twice at once         security/test_double_start
    T36  a ledger from a backup               test_ledger_opening
    T37  a dependency with a known hole       security/test_optimized
    T38  python -O                            security/test_optimized

Not kept away: whoever can write in the output directory while we work may put something under a
name between our look and SQLite's; and what one process was told by webhook without a client, it
keeps as it was said, the key included if the server repeats it.
"""
