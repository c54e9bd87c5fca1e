"""What a hostile server, network, neighbour or file can do to us, threat by threat.

Each threat has a number, and each number stands beside the tests that keep it away: modules below
`tests`, and after `::` how the name of a test begins. `test_table` checks that they are there.

    T01  the key in a repr, a pickle ...      security/test_key_canary
                                              engine/test_key
                                              engine/test_secret
    T02  a redirect takes the key along       security/test_one_origin engine/test_key
    T03  a link says where to ask             security/test_one_origin
                                              protocol/test_urls
                                              engine/test_key
    T04  an id walks the path                 security/test_one_origin protocol/test_urls
    T05  a link leads into our network        security/test_tripwire protocol/test_addresses
    T06  a name leads elsewhere next time     security/test_tripwire engine/test_storage
    T07  a host in odd letters or numbers     security/test_tripwire protocol/test_links
    T08  proxies and .netrc                   security/test_one_origin engine/test_proxies
    T09  no TLS, or somebody else's           security/test_one_origin
                                              engine/test_storage
                                              protocol/test_urls
    T10  a bomb                               security/test_bounds engine/test_unpacking
    T11  a body that is endless, or drips     security/test_bounds engine/test_storage
    T12  JSON that hurts                      security/test_bounds protocol/test_wire_json
    T13  headers that hurt                    security/test_bounds
    T14  a name that is a path                protocol/test_urls engine/test_download_faults
    T15  something planted under our names    security/test_planted engine/test_partfile
    T16  files that others can read           security/test_permissions batch/test_ledger_opening
    T17  the key in the ledger                security/test_key_canary
    T18  the key in logs and tracebacks       security/test_key_canary webhooks/test_core
    T19  the key on a command line            security/test_key_canary
    T20  a server that repeats the key        security/test_key_canary engine/test_secret
    T21  a forged webhook                     security/test_forgeries
    T22  a repeated or late webhook           security/test_forgeries webhooks/test_core
    T23  a flood of webhooks                  security/test_forgeries webhooks/test_listener
    T24  the token of a webhook in a log      security/test_key_canary webhooks/test_frameworks
    T25  a link in a webhook                  security/test_tripwire webhooks/test_frameworks
    T26  text that acts on a terminal         security/test_foreign_text protocol/test_urls
    T27  cells that are formulas              security/test_foreign_text
    T28  text that is markup                  security/test_foreign_text
    T29  text that makes lines of a log       security/test_foreign_text
    T30  text that is a template              security/test_foreign_text
    T31  a cookie                             security/test_sessions engine/test_storage
    T32  a pool for keyed and unkeyed         security/test_sessions engine/test_storage
    T33  a parameter that reads a file        endpoints/test_music webhooks/test_core
    T34  a manifest that pays twice           batch/test_manifest::test_what_must_be_unique
         or has no end                        batch/test_manifest::test_a_row_of_too_many_lines
         or costs more than was meant         batch/test_money::test_a_limit_of_cost
    T35  the same batch twice at once         security/test_double_start
    T36  a ledger from a backup               batch/test_ledger_opening
    T37  a dependency with a known hole       security/test_optimized
    T38  python -O                            security/test_optimized

Not kept away: whoever can write in the output directory while we work may put something under a
name between our look and SQLite's; and what one process was told by webhook without a client, it
keeps as it was said, the key included if the server repeats it.
"""
