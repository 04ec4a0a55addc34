"""The customer of a tax calculation: the parameters that describe him, and the place that the address stands for."""

from __future__ import annotations

import re
from typing import Any, Final

from sandbox.shippo.countries import COUNTRIES
from sandbox.shippo.us_zips import STATES, belongs, state_code
from sandbox.stripe.endpoint import Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.params import ListOf, Obj, Str, Type
from sandbox.stripe.tax_rates import Place

_ADDRESS_PARTS: Final = ("city", "line1", "line2", "postal_code", "state")
ADDRESS: Final[dict[str, Type]] = {
    "country": Str(required=True),
    **{part: Str(unsettable=True) for part in _ADDRESS_PARTS},
}
# The types of tax ids, of https://docs.stripe.com/api/tax/calculations/create
TAX_IDS = tuple(
    """
    ad_nrt ae_trn al_tin am_tin ao_tin ar_cuit au_abn au_acn au_arn au_wpn aw_tin az_tin ba_tin bb_tin bd_bin bf_ifu
    bg_uic bh_vat bj_ifu bo_tin br_cnpj br_cpf bs_tin bw_vat by_tin ca_bn ca_gst_hst ca_pst_bc ca_pst_mb ca_pst_sk
    ca_qst cd_nif ch_uid ch_vat ci_vat cl_tin cm_niu cn_tin co_nit cr_tin cv_nif cz_dic de_stn do_rcn ec_ruc eg_tin
    es_cif et_tin eu_oss_vat eu_vat fo_vat fr_siren fr_siret fr_spi gb_vat ge_vat gh_tin gi_tin gn_nif hk_br hr_oib
    hu_tin ic_nif id_npwp il_vat in_gst is_kt is_vat it_cf jp_cn jp_rn jp_trn ke_pin kg_tin kh_tin kr_brn kz_bin
    la_tin li_uid li_vat lk_vat ma_vat md_cf md_vat me_pib mk_vat mr_nif mu_vat mx_rfc my_frp my_itn my_sst mz_nuit
    ng_tin no_vat no_voec np_pan nz_bn nz_gst om_vat pe_ruc ph_tin pl_nip pt_nif py_ruc ro_tin rs_pib ru_inn ru_kpp
    sa_vat sg_gst sg_uen si_tin sm_coe sn_ninea sr_fin sv_nit th_vat tj_tin tr_tin tt_bir tt_vat tw_vat tz_vat
    ua_vat ug_tin us_ein uy_ruc uz_tin uz_vat ve_rif vn_tin za_vat zm_tin zw_tin
    """.split()  # noqa: SIM905 - a list of names reads better so
)
CUSTOMER_DETAILS: Final[dict[str, Type]] = {
    "address": Obj(ADDRESS),
    "address_source": Str(choices=("billing", "shipping")),
    "ip_address": Str(),
    "tax_ids": ListOf(Obj({"type": Str(choices=TAX_IDS, required=True), "value": Str(required=True)}), most=20),
    "taxability_override": Str(choices=("customer_exempt", "none", "reverse_charge")),
}
_ZIP: Final = re.compile(r"\d{5}(?:-?\d{4})?")


def customer_details(asked: Parameters) -> dict[str, Any]:
    """Return `customer_details` as an answer shows them; StripeFailure (400) when they do not say where he is."""
    if "customer" in asked:  # the sandbox has no customers
        raise missing_object("customer", asked["customer"], param="customer", in_path=False)
    details = asked.get("customer_details")
    if details is None:
        raise invalid("You must provide either `customer` or `customer_details`.", "customer_details")
    if "address" not in details:
        if "ip_address" in details:  # the sandbox has no map of addresses
            raise _unknown_location("IP address", "customer_details[ip_address]")
        missing = "customer_details[address]"
        raise invalid(f"Missing required param: {missing}.", missing, "parameter_missing")
    if "address_source" not in details:
        missing = "customer_details[address_source]"
        raise invalid(f"Missing required param: {missing}.", missing, "parameter_missing")
    return {
        "address": shown_address(details["address"], "customer_details[address]"),
        "address_source": details["address_source"],
        "ip_address": details.get("ip_address"),
        "tax_ids": details.get("tax_ids", []),
        "taxability_override": details.get("taxability_override", "none"),
    }


def shown_address(address: Parameters, param: str) -> dict[str, Any]:
    """Return an address as an answer shows it; StripeFailure (400) when its country does not exist."""
    country = address["country"].upper()
    if country not in COUNTRIES:
        raise invalid(
            f"Country '{address['country'][:20]}' is unknown. Try using a 2-character alphanumeric country code "
            "instead, such as 'US', 'EG', or 'GB'.",
            f"{param}[country]",
        )
    return {"country": country, **{part: address.get(part) for part in _ADDRESS_PARTS}}


def place_of(address: Parameters) -> Place:
    """Return the place of a customer's address; StripeFailure (400) when it is not precise enough.

    In the US Stripe needs the ZIP code; the state alone does not suffice, and is not needed.
    Source: https://docs.stripe.com/tax/customer-locations.
    """
    if address["country"] != "US":
        return Place(address["country"])
    zip_code = (address["postal_code"] or "").strip()
    if not _ZIP.fullmatch(zip_code):
        raise _unknown_location("address", "customer_details[address]")
    if address["state"]:
        state = state_code(address["state"])
        if state is None or not belongs(zip_code, state):
            raise _unknown_location("address", "customer_details[address]")
        return Place("US", state)
    for state in STATES:
        if belongs(zip_code, state):
            return Place("US", state)
    raise _unknown_location("address", "customer_details[address]")


def _unknown_location(source: str, param: str) -> StripeFailure:
    return StripeFailure(
        f"We could not determine the customer's tax location based on the provided customer {source}.",
        code="customer_tax_location_invalid",
        param=param,
    )
