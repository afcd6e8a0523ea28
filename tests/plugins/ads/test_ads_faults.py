"""The fault registry of ADS."""

from __future__ import annotations

import pytest
from flowbus_ads.codes_device import CLIENT, DEVICE
from flowbus_ads.codes_system import GLOBAL, ROUTER, RTIME, WINSOCK
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.faults import FAULTS, HRESULTS, fault_of

from flowbus import Rejected


def test_every_group_of_the_manual_is_whole() -> None:
    groups = (GLOBAL, ROUTER, DEVICE, CLIENT, RTIME, WINSOCK)
    assert [len(group) for group in groups] == [31, 14, 58, 17, 16, 3]
    assert [fault.name for fault in HRESULTS] == [
        "S_OK", "S_FALSE", "S_PENDING", "S_WATCHDOG_TIMEOUT",
    ]  # fmt: skip


def test_every_entry_says_cause_and_next_step() -> None:
    assert len({fault.code for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.code.startswith("ads.")
        assert fault.cause.endswith(".")
        assert fault.next_step.endswith(".")


@pytest.mark.parametrize(
    ("number", "name", "alias"),
    [
        (0x18, "ERR_INVALIDAMSPORT", "ERR_INVALIDAMSSPORT"),
        (0x1C, "ERR_INVALIDAMSFRAGMENT", "ERR_INVALIDAMSFAGMENT"),
        (0x1D, "ERR_TLSSEND", "ERR_TLSSSEND"),
        (0x72B, "ADSERR_DEVICE_LICENSETIMETOLONG", "ADSERR_DEVICE_LICENSESETIMETOLONG"),
        (0x741, "ADSERR_CLIENT_INVALIDPARM", "ADSERR_CLIENT_INVALIDPARG"),
        (0x745, "ADSERR_CLIENT_SYNCTIMEOUT", "ADSERR_CLIENT_SYNCNCTIMEOUT"),
        (0x753, "ADSERR_CLIENT_NOMORESYM", "ADSERR_CLIENT_NOMORESVM"),
        (0x1004, "RTERR_PRIOEXISTS", "RTERR_PPIOEXISTS"),
        (0x1010, "RTERR_IRQLNOTLESSOREQUAL", "RTERR_IRQNOTLESSOREQUAL"),
    ],
)
def test_the_official_spelling_is_the_name(number: int, name: str, alias: str) -> None:
    fault = fault_of(number)
    assert (fault.name, fault.number) == (name, number)
    assert alias in fault.aliases


def test_the_hresult_finds_the_code() -> None:
    assert "0x98110745" in fault_of(0x745).aliases
    assert fault_of(0x745).code == "ads.0x0745"


def test_a_number_that_nobody_knows_still_has_an_entry() -> None:
    fault = fault_of(0xABCD)
    assert (fault.code, fault.number) == ("ads.0xABCD", 0xABCD)


def test_router_and_device_are_told_apart() -> None:
    router, device = AdsError(Refusal(7, "router"), "read"), AdsError(Refusal(7), "read")
    assert isinstance(router, Rejected)
    assert "AMS router" in router.text
    assert "AMS router" not in device.text
    assert device.hresult == 0x98110007
