"""ADS return codes of devices and clients (0x700..0x756).

Rows as in :mod:`flowbus_ads.codes_system`. Source of numbers and names: TF6770 manual, appendix 7.1,
with the spelling of AdsDef.h.
"""

from __future__ import annotations

from typing import Final

from flowbus_ads.codes_system import Row

_REPORT = "Repeat the call; if it stays, report it with this code and the TwinCAT version."
_INDEX = "Check group and offset of the address; a symbol name is safer than a fixed address."
_SIZE = "Check the type of the symbol against the PLC program; it may have changed by a download."
_VALUE = "Compare the value with the type and the limits of the symbol in the PLC program."
_SYMBOL = (
    "Check the spelling of the symbol (such as MAIN.rValue) and that the program is downloaded."
)
_AGAIN = (
    "Nothing by hand: the handle is renewed by itself. If it stays, check that the symbol exists."
)
_LATER = "Wait: it is tried again. If it stays, look at the load and the state of the PLC."
_LICENCE = "Open the licence page of the PLC in TwinCAT and renew or activate the licence."
_SUBSCRIBE = "Nothing by hand: the subscription is made anew. If it stays, restart the connection."
_OBJECT = "Check that the object is part of the activated configuration of the PLC."
_CONTEXT = "Call the service from a context that it allows; this concerns the server on the PLC."
_CLIENT = "Restart the ADS client on the machine that answered; if it stays, report it."
_LOCAL = "Restart the ADS router that answered; a router on the way has this trouble, not the PLC."

DEVICE: Final[tuple[Row, ...]] = (
    (0x700, "ADSERR_DEVICE_ERROR", "The ADS device reports a general error.",
     "Look at the PLC's own log for the time of this error."),
    (0x701, "ADSERR_DEVICE_SRVNOTSUPP", "The device does not know this service.",
     "Check `port`: the service may belong to another ADS server."),
    (0x702, "ADSERR_DEVICE_INVALIDGRP", "The device does not know this index group.", _INDEX),
    (0x703, "ADSERR_DEVICE_INVALIDOFFSET", "The index offset is outside of the group.", _INDEX),
    (0x704, "ADSERR_DEVICE_INVALIDACCESS", "The device does not permit to read or write this.",
     "Check whether the symbol is constant or read-only in the PLC program."),
    (0x705, "ADSERR_DEVICE_INVALIDSIZE", "The size of the data does not fit.", _SIZE),
    (0x706, "ADSERR_DEVICE_INVALIDDATA", "The device calls the data invalid.", _VALUE),
    (0x707, "ADSERR_DEVICE_NOTREADY", "The device is not ready.", _LATER),
    (0x708, "ADSERR_DEVICE_BUSY", "The device is busy.", _LATER),
    (0x709, "ADSERR_DEVICE_INVALIDCONTEXT",
     "The call came in a wrong context, as when ADS blocks run in different tasks.",
     "Use the ADS blocks of the PLC program in one task, or synchronise the tasks."),
    (0x70A, "ADSERR_DEVICE_NOMEMORY", "The device has no memory left.",
     "Free memory on the PLC or enlarge the router memory."),
    (0x70B, "ADSERR_DEVICE_INVALIDPARM", "A parameter is not valid.", _VALUE),
    (0x70C, "ADSERR_DEVICE_NOTFOUND", "What was asked for, such as a file, is not there.", _OBJECT),
    (0x70D, "ADSERR_DEVICE_SYNTAX", "A file or a command has a syntax error.",
     "Correct the command or the file named in the text."),
    (0x70E, "ADSERR_DEVICE_INCOMPATIBLE", "Two objects do not match.", _SIZE),
    (0x70F, "ADSERR_DEVICE_EXISTS", "The object exists already.", _OBJECT),
    (0x710, "ADSERR_DEVICE_SYMBOLNOTFOUND", "The PLC knows no symbol of this name.", _SYMBOL),
    (0x711, "ADSERR_DEVICE_SYMBOLVERSIONINVALID",
     "The handle is out of date, as after an online change.", _AGAIN),
    (0x712, "ADSERR_DEVICE_INVALIDSTATE", "The device is in a state that forbids this.",
     "Read the PLC's state with ads-state and switch it to the state that is needed."),
    (0x713, "ADSERR_DEVICE_TRANSMODENOTSUPP", "The device does not know this notification mode.",
     "Set `mode` of the subscription to the other value."),
    (0x714, "ADSERR_DEVICE_NOTIFYHNDINVALID", "The device does not know this notification.", _SUBSCRIBE),
    (0x715, "ADSERR_DEVICE_CLIENTUNKNOWN", "The device does not know the client of a notification.",
     _SUBSCRIBE),
    (0x716, "ADSERR_DEVICE_NOMOREHDLS", "The device has no free handle left.",
     "Subscribe to fewer symbols (about 550 a device) and close other ADS clients."),
    (0x717, "ADSERR_DEVICE_INVALIDWATCHSIZE", "The symbol is too large for a notification.",
     "Subscribe to a smaller part, or read the symbol on a period."),
    (0x718, "ADSERR_DEVICE_NOTINIT", "The device is not initialised.", _LATER),
    (0x719, "ADSERR_DEVICE_TIMEOUT", "The device itself ran into a timeout.", _LATER),
    (0x71A, "ADSERR_DEVICE_NOINTERFACE", "The device lacks the interface asked for.", _OBJECT),
    (0x71B, "ADSERR_DEVICE_INVALIDINTERFACE", "The wrong interface was asked for.", _OBJECT),
    (0x71C, "ADSERR_DEVICE_INVALIDCLSID", "The class id is not valid.", _OBJECT),
    (0x71D, "ADSERR_DEVICE_INVALIDOBJID", "The object id is not valid.", _OBJECT),
    (0x71E, "ADSERR_DEVICE_PENDING", "The request is still being worked on.", _LATER),
    (0x71F, "ADSERR_DEVICE_ABORTED", "The device aborted the request.", _REPORT),
    (0x720, "ADSERR_DEVICE_WARNING", "The device signals a warning.",
     "Look at the PLC's own log for the time of this warning."),
    (0x721, "ADSERR_DEVICE_INVALIDARRAYIDX", "An array index is outside of its bounds.",
     "Check the index in the symbol name against the array's bounds in the PLC program."),
    (0x722, "ADSERR_DEVICE_SYMBOLNOTACTIVE", "The symbol is not active, as after an online change.",
     _AGAIN),
    (0x723, "ADSERR_DEVICE_ACCESSDENIED", "The device denies access.",
     "Give this client the right to access the symbol on the PLC."),
    (0x724, "ADSERR_DEVICE_LICENSENOTFOUND", "A licence is missing.", _LICENCE),
    (0x725, "ADSERR_DEVICE_LICENSEEXPIRED", "A licence has expired.", _LICENCE),
    (0x726, "ADSERR_DEVICE_LICENSEEXCEEDED", "More is used than the licence allows.", _LICENCE),
    (0x727, "ADSERR_DEVICE_LICENSEINVALID", "A licence is not valid.", _LICENCE),
    (0x728, "ADSERR_DEVICE_LICENSESYSTEMID", "A licence belongs to another system id.", _LICENCE),
    (0x729, "ADSERR_DEVICE_LICENSENOTIMELIMIT", "A licence has no time limit where one is needed.",
     _LICENCE),
    (0x72A, "ADSERR_DEVICE_LICENSEFUTUREISSUE", "A licence was issued in the future.",
     "Set the clock of the PLC, then activate the licence again."),
    (0x72B, "ADSERR_DEVICE_LICENSETIMETOLONG", "The period of a licence is too long.", _LICENCE,
     "ADSERR_DEVICE_LICENSESETIMETOLONG"),
    (0x72C, "ADSERR_DEVICE_EXCEPTION", "An exception stopped the start of the system.",
     "Read the event log of the PLC; check each device's transition to RUN."),
    (0x72D, "ADSERR_DEVICE_LICENSEDUPLICATED", "A licence file was read twice.",
     "Remove the duplicate licence file from the PLC."),
    (0x72E, "ADSERR_DEVICE_SIGNATUREINVALID", "A signature is not valid.", _LICENCE),
    (0x72F, "ADSERR_DEVICE_CERTIFICATEINVALID", "A certificate is not valid.",
     "Renew the certificate on the PLC and check its clock."),
    (0x730, "ADSERR_DEVICE_LICENSEOEMNOTFOUND", "The public key of the OEM is not known.", _LICENCE),
    (0x731, "ADSERR_DEVICE_LICENSERESTRICTED", "The licence does not hold for this system id.",
     _LICENCE),
    (0x732, "ADSERR_DEVICE_LICENSEDEMODENIED", "A demo licence is not allowed here.", _LICENCE),
    (0x733, "ADSERR_DEVICE_INVALIDFNCID", "The function id is not valid.", _OBJECT),
    (0x734, "ADSERR_DEVICE_OUTOFRANGE", "A value is outside of the valid range.", _VALUE),
    (0x735, "ADSERR_DEVICE_INVALIDALIGNMENT", "The alignment of the data is not valid.", _SIZE),
    (0x736, "ADSERR_DEVICE_LICENSEPLATFORM", "The licence is for another platform level.", _LICENCE),
    (0x737, "ADSERR_DEVICE_FORWARD_PL", "The call must go on at passive level.", _CONTEXT),
    (0x738, "ADSERR_DEVICE_FORWARD_DL", "The call must go on at dispatch level.", _CONTEXT),
    (0x739, "ADSERR_DEVICE_FORWARD_RT", "The call must go on in real time.", _CONTEXT),
)  # fmt: skip

CLIENT: Final[tuple[Row, ...]] = (
    (0x740, "ADSERR_CLIENT_ERROR", "An ADS client on the way failed.", _CLIENT),
    (0x741, "ADSERR_CLIENT_INVALIDPARM", "A client used a service with a wrong parameter.", _CLIENT,
     "ADSERR_CLIENT_INVALIDPARG"),
    (0x742, "ADSERR_CLIENT_LISTEMPTY", "A polling list is empty.", _CLIENT),
    (0x743, "ADSERR_CLIENT_VARUSED", "A variable connection is in use already.", _CLIENT),
    (0x744, "ADSERR_CLIENT_DUPLINVOKEID", "An invoke id is in use already.", _CLIENT),
    (0x745, "ADSERR_CLIENT_SYNCTIMEOUT", "The far end gave no answer in time.",
     "Check that the PLC runs and that its route to this host is right; then raise `timeout`.",
     "ADSERR_CLIENT_SYNCNCTIMEOUT"),
    (0x746, "ADSERR_CLIENT_W32ERROR", "A call into Windows failed.",
     "Read the Windows event log of the machine that answered."),
    (0x747, "ADSERR_CLIENT_TIMEOUTINVALID", "A client's timeout is not valid.", _CLIENT),
    (0x748, "ADSERR_CLIENT_PORTNOTOPEN", "A client's port is not open.", _CLIENT),
    (0x749, "ADSERR_CLIENT_NOAMSADDR", "A client has no AMS address.",
     "Give the router that answered a NetId."),
    (0x750, "ADSERR_CLIENT_SYNCINTERNAL", "ADS failed inside in a synchronous call.", _LOCAL),
    (0x751, "ADSERR_CLIENT_ADDHASH", "A hash table is full.", _LOCAL),
    (0x752, "ADSERR_CLIENT_REMOVEHASH", "A key is not in its table.", _LOCAL),
    (0x753, "ADSERR_CLIENT_NOMORESYM", "The cache has no symbols.",
     "Download the PLC program with its symbols, then try again.", "ADSERR_CLIENT_NOMORESVM"),
    (0x754, "ADSERR_CLIENT_SYNCRESINVALID", "An answer was not valid.", _REPORT),
    (0x755, "ADSERR_CLIENT_SYNCPORTLOCKED", "A port is locked by another call.", _LOCAL),
    (0x756, "ADSERR_CLIENT_REQUESTCANCELLED", "The request was cancelled.", _REPORT),
)  # fmt: skip
