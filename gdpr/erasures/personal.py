"""Which names of members say that a value is personal (GDPR, Art. 4(1)), and which texts are IP addresses by form.

Names are compared as `plain` leaves them: in small letters, without what separates words. `first_name`, `firstName` and
`First-Name` are one name. Of a path such as `user.email`, the whole or the last part counts; a plural counts like its
singular. Only English names are known, and the names that AWS CloudTrail uses.
"""

import re
from enum import IntEnum
from ipaddress import ip_address


class Kind(IntEnum):
    """What a name says of a value, the more certain that it is personal the lower."""

    TRACE = 1
    """What somebody leaves behind who does something: IP address, user agent, device, position."""
    PROFILE = 2
    """What is known of a person: name, address, phone, birth date, numbers of documents and accounts."""
    NAME = 3
    """What is called `name` and nothing else: a thing has one, too."""
    OWN = 4
    """What is personal only in an object about a person: an ARN is mostly one of a thing."""
    OTHER = 5


def _split(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


SAYS_WHO = _split(
    "id ids uid uuid guid sub arn actorid userid useruid useruuid personid memberid customerid employeeid patientid",
    "contactid subjectid assumedroleid",
    "email emails emailaddress emailaddresses mail useremail actoremail customeremail contactemail",
)
"""Ids and addresses: an object in which one of them names the subject is about them; one in which they name somebody
else only is about that person, or that thing."""
SAYS_WHO_TOO = _split("username login logon user actor principal principalid accesskeyid")
"""Likewise; but a name other than those by which the subject is known may be a second one of theirs."""
SAYS_NAME = _split("name displayname fullname nickname handle phone phonenumber mobile")
"""An object in which one of these names the subject is about them as well."""
LISTS = _split("emails emailaddresses")
"""Of these, lists count as well: all that is in one is one person's."""
DONE_BY = "by"
"""The end of a name like `createdBy`: whom it names did something to what its object is about."""

_TRACES = _split(
    "ip ipaddr ipv4 ipv6 clientip sourceip remoteip userip lastip loginip publicip remoteaddr realip xrealip",
    "forwardedfor xforwardedfor",
    "ua browser device deviceid devicename devicemodel devicetoken pushtoken fingerprint imei imsi idfa gaid",
    "advertisingid mfaidentifier cookie sessionid",
    "geo geoip geoposition gps position coordinate lat lon lng location",
)
_ENDINGS_OF_TRACES = ("ipaddress", "macaddress", "useragent", "geolocation", "latitude", "longitude")

_PROFILE = _split(
    "nick handle login logon surname forename maidenname salutation pronoun",
    "mail tel cell mobile fax",
    "street house houseno housenumber zip plz city town",
    "dob birthday birthplace placeofbirth age gender sex nationality",
    "ssn socialsecuritynumber nationalid nationalidnumber personalid idcard idnumber tin taxid taxnumber vatid",
    "passport passportid passportno passportnumber driverlicense driverslicense licenseplate",
    "bic bankaccount accountnumber creditcard cardnumber",
    "avatar photo picture portrait",
    "principalid accesskeyid",
)
_ENDINGS_OF_PROFILE = (
    *("firstname", "lastname", "fullname", "displayname", "givenname", "familyname", "middlename", "nickname"),
    *("realname", "legalname", "birthname", "username", "screenname", "contactname", "customername"),
    *("email", "phone", "phonenumber", "mobilenumber", "faxnumber"),
    *("address", "addressline", "addressline1", "addressline2", "zipcode", "postcode", "postalcode"),
    *("birthdate", "dateofbirth", "iban", "avatarurl", "photourl", "pictureurl"),
)
_OWN = _split(
    "arn uid sub actorid userid useruid useruuid personid employeeid assumedroleid",
    "profile userprofile personaldata personaldetails contactdetails contactdata billingdetails",
)

_PEOPLE = (
    *("user", "member", "person", "people", "customer", "client", "employee", "contact", "patient", "student"),
    *("teacher", "admin", "administrator", "guest", "subscriber", "applicant", "candidate", "staff", "visitor"),
)
_THEIRS = (*_PEOPLE, "profile", "account", "identity", "owner", "author", "sender", "recipient")

_SEPARATORS = re.compile(r"[\W_]+")
_LONGEST = 64
"""Characters of a name that may say anything."""
_BETWEEN_PARTS = re.compile(r"[./\[\]]+")
_MAY_BE_IP_ADDRESSES = re.compile(r"(?=[^.:]*[.:])[0-9A-Fa-f:.,\[\]% a-z]{2,400}")


def plain(name: str) -> str:
    """A name as it is compared; empty where it is too long to say anything."""
    return _SEPARATORS.sub("", name.lower()) if len(name) <= _LONGEST else ""


def kind(name: str) -> Kind:
    """What the name of a member, or of a field that changed, says of its value."""
    whole = _kind(plain(name))
    if whole is Kind.OTHER and len(name) <= _LONGEST and _BETWEEN_PARTS.search(name):
        return _kind(plain(_BETWEEN_PARTS.split(name.rstrip("]"))[-1]))
    return whole


def is_of_a_person(target_type: object) -> bool:
    """Whether a target's type, such as `user` or `AWS::IAM::User`, is that of a person."""
    return isinstance(target_type, str) and plain(target_type).removesuffix("s").endswith(_PEOPLE)


def holds_a_person(name: str) -> bool:
    """Whether the name of a member, such as `user` or `billing_contact`, says that the object in it is a person."""
    return plain(name).removesuffix("s").endswith(_THEIRS)


def is_ip_address(text: str) -> bool:
    """Whether a text is an IP address and nothing else, or several, as in X-Forwarded-For; each may have a port.

    `0.0.0.0`, `::` and those of the machine itself (127.0.0.1) are nobody's.
    """
    return bool(ip_addresses(text))


def ip_addresses(text: str) -> list[str]:
    """The IP addresses of such a text, without their ports; none of any other text."""
    if not _MAY_BE_IP_ADDRESSES.fullmatch(text):
        return []
    each = [_without_port(part.strip()) for part in text.split(",")]
    return each if all(map(_is_one_ip_address, each)) else []


def _kind(name: str) -> Kind:
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in _TRACES or form.endswith(_ENDINGS_OF_TRACES):
            return Kind.TRACE
        if form in _PROFILE or form.endswith(_ENDINGS_OF_PROFILE):
            return Kind.PROFILE
        if form == "name":
            return Kind.NAME
    return Kind.OWN if name in _OWN else Kind.OTHER  # ids in the plural are of others


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_one_ip_address(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback)
