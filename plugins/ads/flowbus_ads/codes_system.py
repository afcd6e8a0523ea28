"""ADS return codes of the system: global, router, real time and Winsock.

Rows: number, name, cause, next step, and where it differs the name that Beckhoff's TF6770 manual
prints. Source of numbers and names: TF6770 manual, appendix 7.1, with the spelling of AdsDef.h.
"""

from __future__ import annotations

from typing import Final

Row = tuple[int, str, str, str] | tuple[int, str, str, str, str]

_RESTART = (
    "Restart the TwinCAT system on the PLC; if it comes back, ask Beckhoff support with this code."
)
_ROUTER = "Restart the TwinCAT router on the PLC and look at its event log for the reason."
_MEMORY = "Free memory on the PLC or enlarge the router memory in the TwinCAT real-time settings."
_REPORT = "Repeat the call; if it stays, report it with this code and the TwinCAT version."
_PORT = (
    "Check the option `port`: 851 is the first TwinCAT 3 PLC runtime, 801 the first TwinCAT 2 one."
)
_LOAD = (
    "Send less at once: lower in_flight, read several symbols in one node, lengthen cycle times."
)
_ROUTE = (
    "Add a route to this host on the PLC, with the NetId in `source_net_id`, and check `net_id`."
)
_SECURE = "Use a plain ADS route, or allow this host in the secure ADS settings of the PLC."
_PROJECT = "Correct the task settings in the TwinCAT project and activate the configuration again."
_BIOS = "Switch on Intel VT-x in the BIOS of the PLC, or use a CPU that has it."
_NETWORK = (
    "Check the cable, the address and any firewall between this host and the PLC (TCP 48898)."
)

GLOBAL: Final[tuple[Row, ...]] = (
    (0x0, "ERR_NOERROR", "The request succeeded.", "Nothing is to be done."),
    (0x1, "ERR_INTERNAL", "The ADS server failed inside.", _RESTART),
    (0x2, "ERR_NORTIME", "The real-time core does not run.",
     "Switch TwinCAT on the PLC to RUN; check that its real-time settings suit the CPU."),
    (0x3, "ERR_ALLOCLOCKEDMEM", "Memory that must stay resident could not be allocated.", _MEMORY),
    (0x4, "ERR_INSERTMAILBOX", "The mailbox of the target is full, the request was not sent.", _LOAD),
    (0x5, "ERR_WRONGRECEIVEHMSG", "An answer had the wrong message handle.", _REPORT),
    (0x6, "ERR_TARGETPORTNOTFOUND", "No ADS server is registered on this AMS port.",
     "Check that the PLC runtime is started (not in CONFIG) and that `port` names it (851)."),
    (0x7, "ERR_TARGETMACHINENOTFOUND", "The router knows no route to this NetId.", _ROUTE),
    (0x8, "ERR_UNKNOWNCMDID", "The target does not know this command.",
     "Check `port`: another ADS server may answer there, which lacks this service."),
    (0x9, "ERR_BADTASKID", "The task id is not valid.", _PROJECT),
    (0xA, "ERR_NOIO", "There is no I/O.", "Add and activate an I/O configuration on the PLC."),
    (0xB, "ERR_UNKNOWNAMSCMD", "The router does not know this AMS command.", _REPORT),
    (0xC, "ERR_WIN32ERROR", "A call into Windows failed on the PLC.",
     "Read the Windows event log of the PLC for the time of this error."),
    (0xD, "ERR_PORTNOTCONNECTED", "The AMS port is not connected to the router.",
     "Wait until the runtime has started; then check `port`."),
    (0xE, "ERR_INVALIDAMSLENGTH", "The router saw an AMS header with a wrong length.", _REPORT),
    (0xF, "ERR_INVALIDAMSNETID", "The NetId is not valid.",
     "Check `net_id` and `source_net_id`: six numbers, as TwinCAT shows them."),
    (0x10, "ERR_LOWINSTLEVEL", "The installation level is too low (TwinCAT 2 licence).",
     "Install a TwinCAT level that includes this service."),
    (0x11, "ERR_NODEBUGINTAVAILABLE", "Debugging is not available.",
     "Enable debugging on the target, or do without it."),
    (0x12, "ERR_PORTDISABLED", "The port is disabled: the TwinCAT system service does not run.",
     "Start the TwinCAT system service on the PLC."),
    (0x13, "ERR_PORTALREADYCONNECTED", "The port is connected already.",
     "Leave `source_port` out, or give every client its own."),
    (0x14, "ERR_AMSSYNC_W32ERROR", "A synchronous call failed inside Windows.",
     "Read the Windows event log of the PLC for the time of this error."),
    (0x15, "ERR_AMSSYNC_TIMEOUT", "A synchronous call got no answer in time.",
     "Raise `timeout`, and check the load of the PLC."),
    (0x16, "ERR_AMSSYNC_AMSERROR", "A synchronous call failed in AMS.", _ROUTER),
    (0x17, "ERR_AMSSYNC_NOINDEXINMAP", "The router has no index entry for a synchronous call.", _ROUTER),
    (0x18, "ERR_INVALIDAMSPORT", "The AMS port is not valid.", _PORT, "ERR_INVALIDAMSSPORT"),
    (0x19, "ERR_NOMEMORY", "The target has no memory left.", _MEMORY),
    (0x1A, "ERR_TCPSEND", "The router could not send by TCP.", _NETWORK),
    (0x1B, "ERR_HOSTUNREACHABLE", "The router cannot reach the host.", _NETWORK),
    (0x1C, "ERR_INVALIDAMSFRAGMENT", "A fragment of an AMS message is not valid.", _REPORT,
     "ERR_INVALIDAMSFAGMENT"),
    (0x1D, "ERR_TLSSEND", "Sending over secure ADS (TLS) failed.", _SECURE, "ERR_TLSSSEND"),
    (0x1E, "ERR_ACCESSDENIED", "Secure ADS denied access.", _SECURE),
)  # fmt: skip

ROUTER: Final[tuple[Row, ...]] = (
    (0x500, "ROUTERERR_NOLOCKEDMEMORY", "The router could not get locked memory.", _MEMORY),
    (0x501, "ROUTERERR_RESIZEMEMORY", "The router memory could not be resized.", _MEMORY),
    (0x502, "ROUTERERR_MAILBOXFULL", "A mailbox of the router is full.", _LOAD),
    (0x503, "ROUTERERR_DEBUGBOXFULL", "The debug mailbox of the router is full.",
     "Close debug sessions that read from the PLC, or let them read faster."),
    (0x504, "ROUTERERR_UNKNOWNPORTTYPE", "The router does not know this type of port.", _PORT),
    (0x505, "ROUTERERR_NOTINITIALIZED", "The router is not initialised.", _ROUTER),
    (0x506, "ROUTERERR_PORTALREADYINUSE", "The port number is taken.",
     "Leave `source_port` out, or give every client its own."),
    (0x507, "ROUTERERR_NOTREGISTERED", "The port is not registered with the router.", _PORT),
    (0x508, "ROUTERERR_NOMOREQUEUES", "The router has no free port left.",
     "Close ADS clients that are not needed, then restart the router."),
    (0x509, "ROUTERERR_INVALIDPORT", "The router calls the port invalid.", _PORT),
    (0x50A, "ROUTERERR_NOTACTIVATED", "The router is not active.",
     "Start the TwinCAT router on the PLC."),
    (0x50B, "ROUTERERR_FRAGMENTBOXFULL", "The mailbox for fragmented messages is full.", _LOAD),
    (0x50C, "ROUTERERR_FRAGMENTTIMEOUT", "A part of a fragmented message came too late.", _NETWORK),
    (0x50D, "ROUTERERR_TOBEREMOVED", "The port is being removed.",
     "Wait until the runtime has restarted; it is tried again."),
)  # fmt: skip

RTIME: Final[tuple[Row, ...]] = (
    (0x1000, "RTERR_INTERNAL", "The real-time system failed inside.", _RESTART),
    (0x1001, "RTERR_BADTIMERPERIODS", "A timer value is not valid.", _PROJECT),
    (0x1002, "RTERR_INVALIDTASKPTR", "A task pointer is zero.", _PROJECT),
    (0x1003, "RTERR_INVALIDSTACKPTR", "A stack pointer is zero.", _PROJECT),
    (0x1004, "RTERR_PRIOEXISTS", "Another task has this priority.", _PROJECT, "RTERR_PPIOEXISTS"),
    (0x1005, "RTERR_NOMORETCB", "All 64 task control blocks are taken.",
     "Use fewer tasks in the TwinCAT project."),
    (0x1006, "RTERR_NOMORESEMAS", "All 64 semaphores are taken.",
     "Use fewer semaphores in the TwinCAT project."),
    (0x1007, "RTERR_NOMOREQUEUES", "All 64 places of a queue are taken.", _LOAD),
    (0x100D, "RTERR_EXTIRQALREADYDEF", "An external synchronisation interrupt is set already.", _PROJECT),
    (0x100E, "RTERR_EXTIRQNOTDEF", "No external synchronisation interrupt is set.", _PROJECT),
    (0x100F, "RTERR_EXTIRQINSTALLFAILED", "The external synchronisation interrupt cannot be set.",
     _PROJECT),
    (0x1010, "RTERR_IRQLNOTLESSOREQUAL", "A service was called in the wrong context.",
     "Call the function from a task whose context allows it; correct the PLC program.",
     "RTERR_IRQNOTLESSOREQUAL"),
    (0x1017, "RTERR_VMXNOTSUPPORTED", "The CPU of the PLC has no Intel VT-x.", _BIOS),
    (0x1018, "RTERR_VMXDISABLED", "Intel VT-x is switched off in the BIOS.", _BIOS),
    (0x1019, "RTERR_VMXCONTROLSMISSING", "Intel VT-x lacks a function that TwinCAT needs.", _BIOS),
    (0x101A, "RTERR_VMXENABLEFAILS", "Intel VT-x could not be switched on.", _BIOS),
)  # fmt: skip

WINSOCK: Final[tuple[Row, ...]] = (
    (0x274C, "WSAETIMEDOUT", "The router's own TCP connection timed out.", _NETWORK),
    (0x274D, "WSAECONNREFUSED", "The router's TCP connection was refused: nothing listens there.",
     "Start TwinCAT on the target and open TCP 48898 in its firewall."),
    (0x2751, "WSAEHOSTUNREACH", "The router found no way to the target host.", _NETWORK),
)  # fmt: skip
