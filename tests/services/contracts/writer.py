"""The contract of `webhook.ports.SecretWriter`."""

import threading
from dataclasses import replace

import pytest

from tests.services.contracts.world import MARKS, OTHER_PAYLOAD, PAYLOAD, World, copy, soon
from webhook.core.copies import Secret
from webhook.core.names import ADOPT_ANNOTATION, COVERS_ANNOTATION, PATTERNS_ANNOTATION, SECRET_NAME
from webhook.core.ownership import Owner, owner_of
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
)


def fresh(world: World, namespace: str = "a") -> Secret:
    found = world.facts.copy(namespace, soon(), fresh=True)
    assert found is not None
    return found


class WriterContract:
    """Every implementation passes these, given a fixture `world`."""

    def test_what_is_created_is_what_was_asked_for(self, world: World) -> None:
        world.make_namespace("a")
        made = world.writer.create(copy("a"), soon())
        assert made == replace(copy("a"), written_by_us=True, uid=made.uid, resource_version=made.resource_version)
        assert made.uid
        assert made.resource_version
        assert fresh(world) == made

    def test_creating_what_exists_is_refused(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        for dry_run in (False, True):
            with pytest.raises(AlreadyExists):
                world.writer.create(copy("a", OTHER_PAYLOAD), soon(), dry_run=dry_run)
        assert fresh(world) == first

    def test_a_dry_run_creates_nothing(self, world: World) -> None:
        world.make_namespace("a")
        made = world.writer.create(copy("a"), soon(), dry_run=True)
        assert (made.payload, made.marks) == (PAYLOAD, MARKS)
        assert world.facts.copy("a", soon(), fresh=True) is None

    def test_of_many_creators_at_once_one_succeeds(self, world: World) -> None:
        world.make_namespace("a")
        outcomes: list[str] = []

        def create() -> None:
            try:
                world.writer.create(copy("a"), soon())
                outcomes.append("created")
            except ClusterError as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=create) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["AlreadyExists"] * 15 + ["created"]

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_nothing_can_be_created_in_a_namespace_that_is_going(self, world: World, dry_run: bool) -> None:
        world.make_namespace("a")
        world.terminate_namespace("a")
        with pytest.raises(NamespaceTerminating):
            world.writer.create(copy("a"), soon(), dry_run=dry_run)

    def test_nothing_can_be_created_in_a_namespace_that_is_not_there(self, world: World) -> None:
        with pytest.raises(NotFound):
            world.writer.create(copy("none"), soon())

    def test_a_quota_forbids_to_create(self, world: World) -> None:
        world.make_namespace("a")
        world.forbid_secrets_by_quota("a")
        with pytest.raises(QuotaExceeded):
            world.writer.create(copy("a"), soon())

    def test_content_that_is_no_json_is_invalid(self, world: World) -> None:
        world.make_namespace("a")
        with pytest.raises(Invalid):
            world.writer.create(copy("a", b"{"), soon())

    def test_an_update_brings_content_and_marks_and_keeps_what_others_wrote(self, world: World) -> None:
        world.make_namespace("a")
        bare = Secret(namespace="a", payload=PAYLOAD, marks={ADOPT_ANNOTATION: "true"})
        world.make_secret(bare, labels={"x": "y"}, annotations={"note": "n"}, extra={"more": b"x"})
        before = fresh(world)
        wanted = replace(before, payload=OTHER_PAYLOAD, marks={**before.marks, **MARKS}, extra_keys=False)
        after = world.writer.update(wanted, soon())
        assert after == replace(wanted, written_by_us=True, resource_version=after.resource_version)
        assert after.resource_version != before.resource_version
        assert fresh(world) == after
        assert world.keys("a", SECRET_NAME) == {".dockerconfigjson"}
        assert world.labels("a", SECRET_NAME)["x"] == "y"
        assert world.annotations("a", SECRET_NAME)["note"] == "n"

    def test_an_update_makes_no_applied_secret_ours(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(replace(copy("a"), given_away=True))
        after = world.writer.update(replace(fresh(world), payload=OTHER_PAYLOAD), soon())
        assert after.given_away
        assert owner_of(after, "ghcr-pull-secrets") is Owner.GIVEN_AWAY

    def test_an_update_of_a_secret_without_any_label_or_annotation_works(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", payload=PAYLOAD))
        after = world.writer.update(replace(fresh(world), marks=MARKS), soon())
        assert after.marks == MARKS

    def test_an_update_takes_away_the_marks_that_are_true_no_more(self, world: World) -> None:
        world.make_namespace("a")
        covering = {**MARKS, COVERS_ANNOTATION: "all", PATTERNS_ANNOTATION: "0123456789abcdef"}
        first = world.writer.create(replace(copy("a"), marks=covering), soon())
        assert first.marks == covering
        after = world.writer.update(replace(first, payload=OTHER_PAYLOAD, marks=MARKS), soon())
        assert after.marks == fresh(world).marks == MARKS

    def test_an_update_of_what_was_changed_meanwhile_is_a_conflict(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        second = world.writer.update(replace(first, payload=OTHER_PAYLOAD), soon())
        with pytest.raises(Conflict):
            world.writer.update(replace(first, payload=PAYLOAD), soon())
        assert fresh(world) == second

    def test_an_update_of_what_was_deleted_and_made_again_is_a_conflict(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        world.remove_secret("a", SECRET_NAME)
        second = world.writer.create(copy("a"), soon())
        with pytest.raises(Conflict):
            world.writer.update(first, soon())
        assert fresh(world) == second

    def test_an_update_of_what_is_gone_finds_nothing(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        world.remove_secret("a", SECRET_NAME)
        with pytest.raises(NotFound):
            world.writer.update(first, soon())

    def test_the_type_cannot_be_changed(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(Secret(namespace="a", type="Opaque"))
        with pytest.raises(Invalid):
            world.writer.update(replace(copy("a"), resource_version=fresh(world).resource_version), soon())

    def test_an_immutable_secret_cannot_be_changed(self, world: World) -> None:
        world.make_namespace("a")
        world.make_secret(replace(copy("a"), immutable=True))
        with pytest.raises(Invalid):
            world.writer.update(replace(fresh(world), payload=OTHER_PAYLOAD), soon())

    def test_what_is_deleted_is_gone(self, world: World) -> None:
        world.make_namespace("a")
        world.writer.delete(world.writer.create(copy("a"), soon()), soon())
        assert world.facts.copy("a", soon(), fresh=True) is None

    def test_what_was_changed_meanwhile_is_not_deleted(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        second = world.writer.update(replace(first, payload=OTHER_PAYLOAD), soon())
        with pytest.raises(Conflict):
            world.writer.delete(first, soon())
        assert fresh(world) == second

    def test_what_was_deleted_and_made_again_is_not_deleted(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        world.remove_secret("a", SECRET_NAME)
        second = world.writer.create(copy("a"), soon())
        with pytest.raises(Conflict):
            world.writer.delete(replace(first, resource_version=second.resource_version), soon())
        assert fresh(world) == second

    def test_what_is_gone_cannot_be_deleted_again(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        world.writer.delete(first, soon())
        with pytest.raises(NotFound):
            world.writer.delete(first, soon())

    def test_after_the_deadline_nothing_is_written(self, world: World) -> None:
        world.make_namespace("a")
        first = world.writer.create(copy("a"), soon())
        over = Deadline.after(0)
        with pytest.raises(DeadlineExceeded):
            world.writer.create(copy("a"), over)
        with pytest.raises(DeadlineExceeded):
            world.writer.update(replace(first, payload=OTHER_PAYLOAD), over)
        with pytest.raises(DeadlineExceeded):
            world.writer.delete(first, over)
        assert fresh(world) == first
