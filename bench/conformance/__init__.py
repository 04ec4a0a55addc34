"""Whether the sandbox is what the providers describe.

`./install_run_project bench conformance [--specs FOLDER] [--cache FOLDER] [--report FILE]` starts a sandbox, drives
every route with success and with errors, collects every answer and event, and compares them with

- Stripe's TypeScript types, compiled with `tsc --strict` (npm packages, installed in a cache folder of their own),
- Stripe's fixtures, and Twilio's and SendGrid's OpenAPI descriptions, from the folder of `--specs` or PROVIDER_SPECS,
- the models of Shippo's SDK.

It also sends each documented request parameter. A part whose description cannot be had is reported as not checked.
The exit status is 1 if there is a finding: a difference that has no reason in `bench/conformance/reasons.py`.
"""

from bench.conformance.command import main

__all__ = ["main"]
