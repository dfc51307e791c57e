"""Certificates with their names, authorities, and what refers to them."""

import pytest
from sqlalchemy import text

from tests.support import pem
from tests.support.entities import SAMPLES, Entities


@pytest.fixture
def certificate(entities: Entities):
    return entities.create("certificates", {**SAMPLES["certificates"](1), "snis": ["b.test", "A.test"]})


def messages(response):
    assert response.status_code == 400, response.text
    return {detail.get("field", ""): detail["messages"] for detail in response.json()["details"]}


class TestNames:
    def test_names_are_made_with_their_certificate(self, entities: Entities, certificate):
        assert certificate["snis"] == ["b.test", "a.test"]
        snis = entities.get("snis")["data"]
        assert [sni["name"] for sni in snis] == ["b.test", "a.test"]
        assert {sni["certificate"]["id"] for sni in snis} == {certificate["id"]}
        assert entities.get(f"certificates/{certificate['id']}") == certificate
        assert entities.get("certificates")["data"] == [certificate]
        assert entities.get(f"certificates/{certificate['id']}/snis/A.TEST")["name"] == "a.test"

    def test_names_left_out_stay_and_names_given_are_all_there_is(self, entities: Entities, certificate):
        path = f"certificates/{certificate['id']}"
        kept = entities.get("snis/b.test")
        assert entities.call("PUT", path, json=SAMPLES["certificates"](2)).json()["snis"] == ["b.test", "a.test"]
        changed = entities.call("PATCH", path, json={"snis": ["b.test", "c.test"]}).json()
        assert changed["snis"] == ["b.test", "c.test"]
        assert entities.get("snis/b.test") == kept
        assert entities.call("GET", "snis/a.test").status_code == 404
        assert entities.call("PATCH", path, json={"snis": []}).json()["snis"] == []
        assert entities.get("snis")["data"] == []

    def test_a_name_of_another_certificate_is_refused_and_nothing_is_written(self, entities: Entities, certificate):
        body = {**SAMPLES["certificates"](2), "snis": ["new.test", "a.test"]}
        text_of = f"a.test already associated with existing certificate '{certificate['id']}'"
        assert messages(entities.call("POST", "certificates", json=body)) == {"snis[1]": [text_of]}
        assert entities.get("certificates")["data"] == [certificate]
        assert entities.call("GET", "snis/new.test").status_code == 404
        body["snis"] = ["new.test", "NEW.test"]
        assert messages(entities.call("POST", "certificates", json=body)) == {"snis": ["new.test is duplicated"]}

    def test_names_go_with_their_certificate(self, entities: Entities, certificate):
        assert entities.call("DELETE", f"certificates/{certificate['id']}").status_code == 204
        assert entities.get("snis")["data"] == []


class TestKeys:
    def test_keys_are_sealed_at_rest(self, entities: Entities, certificate, database):
        assert certificate["key"] == SAMPLES["certificates"](1)["key"]
        with database.system() as session:
            for table in ("certificates", "config_changes", "audit_events"):
                stored = session.execute(text(f"select string_agg(t::text, '') from {table} t")).scalar_one()
                assert "PRIVATE KEY" not in stored

    def test_pairs_match(self, entities: Entities):
        (one, _), (_, other) = pem.pair(1), pem.pair(2)
        refused = entities.call("POST", "certificates", json={"cert": one, "key": other})
        assert messages(refused) == {"": ["certificate does not match key"]}

    def test_the_alternative_has_another_type(self, entities: Entities):
        (cert, key), (rsa, rsa_key), (same, same_key) = pem.pair(1), pem.pair(1, "rsa"), pem.pair(2)
        assert entities.create("certificates", {"cert": cert, "key": key, "cert_alt": rsa, "key_alt": rsa_key})
        refused = {"cert": cert, "key": key, "cert_alt": same, "key_alt": same_key}
        assert "need to have different type" in messages(entities.call("POST", "certificates", json=refused))[""][0]
        half = {"cert": cert, "key": key, "cert_alt": rsa}
        assert "all or none of these fields must be set" in entities.call("POST", "certificates", json=half).text

    @pytest.mark.parametrize("kind", ["p521", "small"])
    def test_keys_that_no_gateway_can_use(self, entities: Entities, kind):
        cert, key = pem.pair(1, kind)
        refused = entities.call("POST", "certificates", json={"cert": cert, "key": key})
        assert messages(refused)["key"][0].startswith("invalid key: RSA of 2048")

    def test_what_is_no_pem(self, entities: Entities):
        refused = entities.call("POST", "certificates", json={"cert": "x", "key": "-----BEGIN PRIVATE KEY-----"})
        assert messages(refused) == {"cert": ["invalid certificate"], "key": ["invalid key"]}


class TestAuthorities:
    def test_the_digest_is_computed_and_unique(self, entities: Entities):
        made = entities.create("ca_certificates", {"cert": pem.authority(1), "cert_digest": "mine"})
        assert len(made["cert_digest"]) == 64
        again = entities.call("POST", "ca_certificates", json={"cert": pem.authority(1)})
        assert "(type: unique)" in messages(again)["cert_digest"][0]

    @pytest.mark.parametrize(
        ("cert", "message"),
        [
            ("x", "invalid certificate"),
            (pem.pair(1)[0], "certificate does not appear to be a CA"),
            (pem.authority(1) + pem.authority(2), "please submit only one certificate at a time"),
            (pem.authority(1, days=-1), 'certificate expired, "Not After" time is in the past'),
        ],
        ids=["text", "server", "two", "expired"],
    )
    def test_what_is_no_authority(self, entities: Entities, cert, message):
        refused = messages(entities.call("POST", "ca_certificates", json={"cert": cert}))
        assert refused["cert"][0].startswith(message)


class TestUse:
    def test_services_and_upstreams_hold_their_certificates(self, entities: Entities, certificate):
        authority = entities.create("ca_certificates", SAMPLES["ca_certificates"](1))
        reference = {"client_certificate": {"id": certificate["id"]}}
        body = {"name": "s", "host": "h", "protocol": "https", **reference, "ca_certificates": [authority["id"]]}
        service = entities.create("services", body)
        assert service["client_certificate"] == {"id": certificate["id"]}
        entities.create("upstreams", {"name": "u", **reference})
        for path in (f"certificates/{certificate['id']}", f"ca_certificates/{authority['id']}"):
            refused = entities.call("DELETE", path)
            assert refused.status_code == 400
            assert refused.json()["message"].startswith("an existing 'services' entity references this")
        assert entities.call("DELETE", "services/s").status_code == 204
        assert entities.call("DELETE", f"ca_certificates/{authority['id']}").status_code == 204
        refused = entities.call("DELETE", f"certificates/{certificate['id']}")
        assert refused.json()["message"].startswith("an existing 'upstreams' entity references this")
        assert entities.call("DELETE", "upstreams/u").status_code == 204
        assert entities.call("DELETE", f"certificates/{certificate['id']}").status_code == 204
