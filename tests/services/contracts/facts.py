"""The contract of `webhook.ports.Facts`."""

from dataclasses import replace

import pytest

from tests.services.contracts.world import MARKS, OTHER_PAYLOAD, PAYLOAD, World, copy, soon
from webhook.core.copies import Secret
from webhook.core.judging import UnreadableSecret
from webhook.core.names import ADOPT_ANNOTATION, ENFORCE_LABEL, INJECT_KEY, MANAGED_BY_LABEL
from webhook.core.ownership import Owner, adoptable, is_ours, owner_of
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.ports import Deadline, DeadlineExceeded

IMPOSSIBLE_NAMES = ["..", "a/b", "", "a b"]


class FactsContract:
    """Every implementation passes these, given a fixture `world`."""

    def test_a_namespace_has_its_two_labels(self, world: World) -> None:
        world.make_namespace("a", {INJECT_KEY: "false", ENFORCE_LABEL: "warn", "other": "x"})
        world.settle()
        expected = Namespace(name="a", inject="false", enforce="warn")
        assert world.facts.namespace("a", soon()) == expected
        assert world.facts.namespace("a", soon(), fresh=True) == expected

    def test_a_namespace_that_does_not_exist_has_no_labels(self, world: World) -> None:
        assert world.facts.namespace("none", soon()) == Namespace(name="none")

    def test_a_namespace_being_deleted_says_so(self, world: World) -> None:
        world.make_namespace("a")
        world.terminate_namespace("a")
        world.settle()
        assert world.facts.namespace("a", soon()).terminating
        assert world.facts.namespace("a", soon(), fresh=True).terminating

    def test_a_namespace_the_cache_does_not_know_is_read(self, world: World) -> None:
        world.settle()
        world.stop_watching()
        world.make_namespace("a", {INJECT_KEY: "false"})
        assert world.facts.namespace("a", soon()).inject == "false"

    def test_a_service_accounts_pull_secrets_come_in_order(self, world: World) -> None:
        world.make_namespace("a")
        world.make_service_account("a", "builder", ["z", "b"])
        world.make_service_account("a", "bare", [])
        world.settle()
        assert world.facts.service_account("a", "builder", soon()).secrets == ("z", "b")
        assert world.facts.service_account("a", "builder", soon(), fresh=True).secrets == ("z", "b")
        assert world.facts.service_account("a", "bare", soon()) == ServiceAccount()

    def test_a_service_account_that_does_not_exist_has_none(self, world: World) -> None:
        world.make_namespace("a")
        assert world.facts.service_account("a", "none", soon()) == ServiceAccount(exists=False)
        assert world.facts.service_account("none", "none", soon()) == ServiceAccount(exists=False)

    def test_a_service_account_the_cache_does_not_know_is_read(self, world: World) -> None:
        world.make_namespace("a")
        world.settle()
        world.stop_watching()
        world.make_service_account("a", "builder", ["z"])
        assert world.facts.service_account("a", "builder", soon()).secrets == ("z",)

    def test_a_copy_is_read_with_its_marks_and_nothing_else(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(copy("a"), labels={"x": "y"}, annotations={"note": "n"})
        world.settle()
        for fresh in (False, True):
            found = world.facts.copy("a", soon(), fresh=fresh)
            assert found is not None
            assert is_ours(found, "ghcr-pull-secrets")
            assert found.payload == PAYLOAD
            assert found.marks == MARKS
            assert (found.extra_keys, found.owned, found.immutable, found.deleting) == (False,) * 4
            assert found.uid
            assert found.resource_version
            assert world.facts.secret("a", "ghcr-secret", soon(), fresh=fresh) == found

    def test_who_wrote_a_secret_can_be_told(self, world: World) -> None:
        for name in ("a", "b", "c"):
            world.make_namespace(name)
        world.writer.create(copy("a"), soon())
        world.make_secret(copy("b"))
        world.make_secret(replace(copy("c"), given_away=True))
        world.settle()
        for fresh in (False, True):
            found = [world.facts.copy(name, soon(), fresh=fresh) for name in ("a", "b", "c")]
            assert [each and (each.written_by_us, each.given_away) for each in found] == [
                (True, False),
                (False, False),
                (False, True),
            ]

    def test_a_mark_in_the_wrong_place_is_none(self, world: World) -> None:
        """An annotation makes nothing ours, nor does a label adopt."""
        world.make_namespace("a")
        foreign = Secret(namespace="a", payload=PAYLOAD)
        world.make_secret(
            foreign, labels={ADOPT_ANNOTATION: "true"}, annotations={MANAGED_BY_LABEL: "ghcr-pull-secrets"}
        )
        world.settle()
        found = world.facts.copy("a", soon())
        assert found is not None
        assert found.marks == {}
        assert owner_of(found, "ghcr-pull-secrets") is Owner.FOREIGN
        assert not adoptable(found, "ghcr-pull-secrets")

    def test_an_owned_immutable_secret_with_more_keys_says_so(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", payload=PAYLOAD, owned=True, immutable=True), extra={"more": b"x"})
        world.settle()
        found = world.facts.copy("a", soon())
        assert found is not None
        assert (found.owned, found.immutable, found.extra_keys) == (True, True, True)

    def test_a_secret_of_another_type_has_no_payload(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", type="Opaque"), extra={".dockerconfigjson": PAYLOAD})
        world.settle()
        found = world.facts.copy("a", soon())
        assert found is not None
        assert (found.type, found.payload, found.extra_keys) == ("Opaque", None, True)

    def test_the_older_type_has_its_own_key(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", type="kubernetes.io/dockercfg", payload=b"{}"))
        world.settle()
        found = world.facts.copy("a", soon())
        assert found is not None
        assert (found.type, found.payload, found.extra_keys) == ("kubernetes.io/dockercfg", b"{}", False)

    def test_where_there_is_none_there_is_none(self, world: World) -> None:
        world.make_namespace("a")
        world.settle()
        assert world.facts.copy("a", soon()) is None
        assert world.facts.copy("a", soon(), fresh=True) is None
        assert world.facts.secret("a", "ghcr-secret", soon()) is None

    def test_a_synced_cache_is_believed_about_an_absent_copy_but_not_about_a_listed_secret(self, world: World) -> None:
        world.make_namespace("a")
        world.settle()
        world.stop_watching()
        world.make_secret(copy("a"))
        assert world.facts.copy("a", soon()) is None
        found = world.facts.secret("a", "ghcr-secret", soon())
        assert isinstance(found, Secret)

    def test_a_fresh_read_sees_what_the_cache_does_not(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(copy("a"))
        world.settle()
        world.stop_watching()
        world.remove_secret("a", "ghcr-secret")
        world.make_secret(copy("a", OTHER_PAYLOAD))
        fresh = world.facts.copy("a", soon(), fresh=True)
        assert fresh is not None
        assert fresh.payload == OTHER_PAYLOAD

    def test_what_a_fresh_read_saw_is_known_from_then_on(self, world: World) -> None:
        world.make_namespace("a")
        world.settle()
        world.stop_watching()
        world.make_secret(copy("a"))
        fresh = world.facts.copy("a", soon(), fresh=True)
        assert fresh is not None
        assert world.facts.copy("a", soon()) == fresh

    def test_what_was_just_written_is_known_before_the_watch_reports_of_it(self, world: World) -> None:
        world.make_namespace("a")
        world.settle()
        world.stop_watching()
        written = world.writer.create(copy("a"), soon())
        world.facts.observe(written)
        assert world.facts.copy("a", soon()) == written

    def test_other_secrets_are_unreadable_without_permission(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", name="theirs", payload=PAYLOAD))
        assert world.facts.secret("a", "theirs", soon()) == UnreadableSecret()
        assert world.facts.secret("a", "none", soon()) == UnreadableSecret()

    def test_with_permission_other_secrets_are_read(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", name="theirs", payload=PAYLOAD))
        found = world.facts_of_all.secret("a", "theirs", soon())
        assert isinstance(found, Secret)
        assert found.payload == PAYLOAD
        assert world.facts_of_all.secret("a", "none", soon()) is None

    @pytest.mark.parametrize("name", IMPOSSIBLE_NAMES)
    def test_what_has_an_impossible_name_does_not_exist(self, world: World, name: str) -> None:
        """Names come from other people's Pods; none may lead the read elsewhere."""
        world.make_namespace("a")
        assert world.facts.service_account("a", name, soon()) == ServiceAccount(exists=False)
        assert world.facts_of_all.secret("a", name, soon()) is None
        assert world.facts.namespace(name, soon()) == Namespace(name=name)

    def test_after_the_deadline_the_api_server_is_not_asked(self, world: World) -> None:
        world.make_namespace("a")
        over = Deadline.after(0)
        with pytest.raises(DeadlineExceeded):
            world.facts.namespace("a", over, fresh=True)
        with pytest.raises(DeadlineExceeded):
            world.facts.service_account("a", "default", over, fresh=True)
        with pytest.raises(DeadlineExceeded):
            world.facts.copy("a", over, fresh=True)

    def test_what_the_cache_knows_is_known_after_the_deadline_too(self, world: World) -> None:
        world.make_namespace("a", {INJECT_KEY: "true"})
        world.settle()
        assert world.facts.namespace("a", Deadline.after(0)).inject == "true"
