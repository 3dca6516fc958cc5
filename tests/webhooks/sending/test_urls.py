from ipaddress import ip_network

import pytest

from webhooks.sending.addresses import AddressPolicy, BlockedAddress

POLICY = AddressPolicy()


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("HTTPS://Hooks.Example.COM:443/a/../b?x=%41", "https://hooks.example.com/a/../b?x=%41"),
        ("https://hooks.example.com:8443?x", "https://hooks.example.com:8443/?x"),
        ("https://93.184.216.34/", "https://93.184.216.34/"),
        ("https://[2606:4700:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://xn--bcher-kva.example/hook_1/~a/(b);c=d,e?q=a@b:c&[]".replace("[]", ""), None),
        ("https://under_score.example/", None),
    ],
)
def test_a_good_url_passes_in_one_normal_form(url: str, normal: str | None) -> None:
    POLICY.check_url(url)
    assert POLICY.target(url).url == (normal or url)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "not absolute"),
        ("hooks.example.com/x", "not absolute"),
        ("https:/hooks.example.com", "not absolute"),
        ("//hooks.example.com", "not absolute|scheme"),
        ("ftp://hooks.example.com/", "uses the scheme ftp; only https is allowed"),
        ("file:///etc/passwd", "scheme file"),
        ("http://hooks.example.com/t0ken", r"^url: http://hooks.example.com uses the scheme http; only https is"),
        ("https://user:pa55@hooks.example.com/", "user name or password"),
        ("https://user@hooks.example.com/", "user name or password"),
        ("https://hooks.example.com@10.0.0.1/", "user name or password"),
        ("https:///x", "has no host"),
        ("https://:443/x", "has no host"),
        ("https://hooks.example.com:/", "port"),
        ("https://hooks.example.com:0/", "port"),
        ("https://hooks.example.com:65536/", "port"),
        ("https://hooks.example.com:+80/", "port"),
        ("https://hooks.example.com:80:80/", "not a host name"),
        ("https://hooks.example.com/#part", "fragment"),
        ("https://hooks.example.com/\r\nX: y", r"U\+000D"),
        ("https://hooks.example.com/a b", r"U\+0020"),
        (" https://hooks.example.com/", r"U\+0020"),
        ("https://hooks.example.com/\t", r"U\+0009"),
        ("https://hooks.example.com/\0", r"U\+0000"),
        ("https://b\u00fccher.example/", "punycode"),
        ("https://127\u30020\u30020\u30021/", r"U\+3002"),
        ("https://hooks.example.com/caf\u00e9", r"U\+00E9"),
        ("https://hooks.example.com\\@10.0.0.1/", "user name|host name"),
        ("https://hooks.example.com/{id}", "percent-encoded"),
        ("https://hooks.example.com/%zz", "percent-encoded"),
        ("https://hooks..example.com/", "not a host name"),
        ("https://hooks.example.com./", "not a host name"),
        ("https://-hooks.example.com/", "not a host name"),
        ("https://%6cocalhost/", "not a host name"),
        (f"https://{'a' * 64}.example/", "not a host name"),
        (f"https://{'a.' * 127}example/", "not a host name"),
        (f"https://hooks.example.com/{'a' * 2048}", "at most 2048"),
        ("https://1.2.3/", "four decimal numbers"),
        ("https://1.2.3.4.5/", "four decimal numbers"),
        ("https://0x08080808/", "four decimal numbers"),
        ("https://8.8.8.010/", "four decimal numbers"),
        ("https://hooks.0x1/", "four decimal numbers"),
        ("https://[::1/", "not a host name|port|IPv6"),
        ("https://[fe80::1%25eth0]/", "IPv6"),
        ("https://[hooks.example.com]/", "IPv6"),
        ("https://[v1.x]/", "IPv6"),
        ("https://10.0.0.1/", r"10\.0\.0\.1 is not a public address: private"),
        ("https://[::ffff:8.8.8.8]/", "IPv4-mapped"),
    ],
)
def test_a_bad_url_is_refused_with_its_rule(url: str, rule: str) -> None:
    with pytest.raises(BlockedAddress, match=rule) as refusal:
        POLICY.check_url(url)
    assert str(refusal.value).startswith("url: ")
    assert "pa55" not in str(refusal.value)
    assert "t0ken" not in str(refusal.value)


def test_allowances_open_http_and_addresses() -> None:
    policy = AddressPolicy(allowed_networks=(ip_network("10.0.0.0/8"),), allow_http=True)
    policy.check_url("http://10.0.0.1:8000/hook")
    with pytest.raises(BlockedAddress):
        policy.check_url("http://192.168.0.1/hook")
