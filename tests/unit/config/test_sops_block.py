import pytest

from tests.unit.config.samples import codes, connection, enc, loaded, sops, strategy

NOISE = {"BF306", "BF102"}


def found(tmp_path, **files):
    return [code for code in codes(loaded(tmp_path, **files)) if code not in NOISE]


def test_a_good_connection_has_no_findings(tmp_path):
    assert found(tmp_path, c=connection()) == []


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (f"{{apiKey: mx0vabcdef, secret: '{enc()}'}}", "BF401"),
        (f"{{apiKey: 12345678, secret: '{enc()}'}}", "BF401"),
        (f"{{apiKey: '****', secret: '{enc()}'}}", "BF412"),
        (f"{{apiKey: <your-key>, secret: '{enc()}'}}", "BF412"),
        (f"{{apiKey: '', secret: '{enc()}'}}", "BF411"),
        (f"{{apiKey: , secret: '{enc()}'}}", "BF411"),
        (f"{{apiKey: '{enc(1)}', secret: '{enc()}'}}", "BF411"),
        (f"{{apiKey: '{enc(0)}', secret: '{enc()}'}}", "BF411"),
        (f"{{apiKey: 'ENC[AES256_GCM,data:eA==]', secret: '{enc()}'}}", "BF404"),
        (f"{{apiKey: '{enc(kind='int')}', secret: '{enc()}'}}", "BF404"),
        (f"{{apiKey: '{enc()[:-20]}', secret: '{enc()}'}}", "BF404"),
    ],
)
def test_a_credential_that_is_not_good_ciphertext_is_an_error(tmp_path, credentials, code):
    assert found(tmp_path, c=connection(credentials=credentials)) == [code]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param("", ["BF402"], id="no block"),
        pytest.param("sops: []", ["BF403"], id="not a mapping"),
        pytest.param(sops("encrypted_regex: ^data$"), ["BF405", "BF405"], id="missing selector"),
        pytest.param(sops("encrypted_regex: ("), ["BF405"], id="broken selector"),
        pytest.param(sops("encrypted_suffix: _secret"), ["BF405", "BF405"], id="suffix"),
        pytest.param(sops("unencrypted_suffix: _plain"), [], id="everything selected"),
        pytest.param(
            sops("encrypted_regex: ^credentials$\n  encrypted_suffix: x"), ["BF403"], id="two"
        ),
        pytest.param(
            sops("encrypted_regex: ^credentials$\n  mac_only_encrypted: true"),
            ["BF406"],
            id="mac only",
        ),
        pytest.param(sops().replace("age1q", "age2q"), ["BF407"], id="recipient"),
        pytest.param(sops().replace("  age:", "  pgp: []\n  gone:"), ["BF407"], id="nobody"),
        pytest.param(sops().replace("  mac:", "  mac2:"), ["BF403"], id="no mac"),
        pytest.param(sops().replace("-----BEGIN", "-----begin"), ["BF407"], id="armour"),
    ],
)
def test_a_damaged_sops_block_is_named(tmp_path, block, expected):
    assert found(tmp_path, c=connection(block=block)) == expected


def test_ciphertext_outside_the_credentials_is_an_error(tmp_path):
    assert found(tmp_path, c=connection(capital=f"'{enc()}'")) == ["BF413"]


def test_a_sops_file_with_two_documents_is_an_error(tmp_path):
    assert "BF409" in found(tmp_path, c=connection() + "---\n" + connection("mexc-spot-b"))


def test_a_copied_sops_file_is_noticed(tmp_path):
    copy = connection().replace("name: mexc-spot-main", "name: mexc-spot-copy")
    assert found(tmp_path, a=connection(), b=copy) == ["BF410"]


def test_a_secret_in_a_strategy_is_an_error(tmp_path):
    files = {"s": strategy(spec="apiKey: abcdefgh"), "c": connection()}
    assert "BF414" in found(tmp_path, **files)


def test_recipients_are_compared_with_the_first_matching_rule(tmp_path):
    other = "age1" + "p" * 58
    (tmp_path / ".sops.yaml").write_text(
        f"creation_rules:\n  - path_regex: c\\.yaml$\n    age: {other}\n  - age: {other}\n"
    )
    assert found(tmp_path, c=connection()) == ["BF408"]
    (tmp_path / ".sops.yaml").write_text(f"creation_rules:\n  - age: age1{'q' * 58}\n")
    assert found(tmp_path, c=connection()) == []
