"""The association core on masks that tests draw, without a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sam2v.automatic.association import Association, Verdict
from sam2v.automatic.matching import match
from sam2v.automatic.rules import AssociationRules
from sam2v.automatic.sightings import Detections, Shown, boxes_of
from sam2v.masks.bits import MaskBits
from sam2v.masks.boxes import box_covered, box_iou

SIZE = (24, 32)
Place = tuple[int, int, int, int]  # y, x, height, width


def mask(*places: Place) -> np.ndarray:
    """A mask of rectangles."""
    plane = np.zeros(SIZE, bool)
    for y, x, height, width in places:
        plane[y : y + height, x : x + width] = True
    return plane


def bits(*places: Place) -> MaskBits:
    """A mask per rectangle."""
    return MaskBits.of(np.stack([mask(place) for place in places])) if places else MaskBits.none(SIZE)


def shown(places: Mapping[int, Place | None], quality: float = 0.9) -> Shown:
    """Objects where they are; None where they are not to be seen."""
    planes = [np.zeros(SIZE, bool) if place is None else mask(place) for place in places.values()]
    masks = MaskBits.of(np.stack(planes)) if planes else MaskBits.none(SIZE)
    return Shown(list(places), masks, np.full(len(planes), quality))


def found(*places: Place, scores: list[float] | None = None, labels: list[str | None] | None = None) -> Detections:
    """Candidates with masks."""
    return Detections(np.array(scores or [0.9] * len(places)), bits(*places), labels=labels)


A, B, C = (2, 2, 8, 8), (2, 16, 8, 8), (14, 4, 8, 8)


def run(association: Association, frames: list[dict[int, Place | None]], start: int = 1) -> list[Verdict]:
    """Show frames, of those tracks that still live."""
    verdicts = []
    for number, places in enumerate(frames, start):
        now = {obj_id: places.get(obj_id) for obj_id in association.tracks}
        verdicts.append(association.observe(number, shown(now)))
    return verdicts


def begun(rules: AssociationRules, *places: Place, **others: object) -> Association:
    """An association with a track at every place."""
    association = Association(rules)
    association.admit(0, found(*places, **others), shown({}))  # type: ignore[arg-type]
    return association


# -- candidates --------------------------------------------------------------------------------------------------------


def test_new_candidates_begin_and_known_ones_do_not() -> None:
    association = begun(AssociationRules(), A)
    assert list(association.tracks) == [1]
    later = association.admit(5, found((3, 2, 8, 8), B, C, scores=[0.99, 0.8, 0.9]), shown({1: A}))
    assert later.begun == {2: 2, 3: 1}  # best first
    assert later.matching.row_of == {1: 0}
    assert later.left_out == 0
    assert [track.born for track in association.tracks.values()] == [0, 5, 5]


def test_a_part_of_a_track_and_a_double_of_a_candidate_are_not_new() -> None:
    association = begun(AssociationRules(new_share=0.7), A)
    part, mostly_new = (2, 2, 3, 3), (2, 8, 8, 12)
    twin = (2, 9, 8, 12)
    admission = association.admit(1, found(part, mostly_new, twin, scores=[0.9, 0.9, 0.8]), shown({1: A}))
    assert admission.begun == {2: 1}
    assert admission.left_out == 0


def test_what_lies_on_a_backdrop_is_new() -> None:
    backdrop, small = (0, 0, 24, 32), (4, 4, 4, 4)
    for times, new in ((60.0, False), (40.0, True)):
        association = begun(AssociationRules(backdrop=times), backdrop)
        admission = association.admit(1, found(small), shown({1: backdrop}))
        assert bool(admission.begun) == new
        both = Association(AssociationRules(backdrop=times)).admit(0, found(backdrop, small), shown({}))
        assert len(both.begun) == 1 + new


def test_nothing_begins_where_regions_are_left_out() -> None:
    admission = Association().admit(0, found(A, B), shown({}), taken=bits((0, 0, 24, 14)))
    assert admission.begun == {1: 1}


def test_the_best_are_kept_and_the_others_counted() -> None:
    association = Association(AssociationRules(max_objects=2))
    admission = association.admit(0, found(A, B, C, scores=[0.7, 0.9, 0.8]), shown({}))
    assert admission.begun == {1: 1, 2: 2}
    assert admission.left_out == 1


def test_what_has_been_away_longest_makes_room() -> None:
    rules = AssociationRules(max_objects=2, hot_start=2, keep_alive=50)
    association = begun(rules, A, B)
    run(association, [{1: A, 2: B}] * 3 + [{1: A}] * 5)
    admission = association.admit(8, found(C), shown({1: A, 2: None}))
    assert [(end.track.obj_id, end.reason) for end in admission.ended] == [(2, "displaced")]
    assert list(admission.begun) == [3] and admission.left_out == 0


def test_labels_keep_objects_apart() -> None:
    association = begun(AssociationRules(), A, labels=["cat"])
    labels = {1: "cat"}
    for label, matched in (("cat", {1: 0}), ("dog", {}), (None, {1: 0})):
        assert match(found(A, labels=[label]), shown({1: A}), labels).row_of == matched
    assert association.tracks[1].label == "cat"


def test_boxes_alone() -> None:
    boxes = boxes_of(bits(A, B))
    moved = boxes[:1] + 0.01
    association = Association()
    assert len(association.admit(0, Detections(np.array([0.9, 0.8]), boxes=boxes), shown({})).begun) == 2
    again = association.admit(1, Detections(np.array([0.9]), boxes=moved), shown({1: A, 2: B}))
    assert again.begun == {} and again.matching.row_of == {1: 0}
    twice = Detections(np.array([0.9, 0.8]), boxes=np.concatenate([boxes_of(bits(C)), boxes_of(bits(C))]))
    assert len(association.admit(2, twice, shown({1: A, 2: B})).begun) == 1


def test_what_makes_no_detection_is_refused() -> None:
    with pytest.raises(ValueError, match="masks or boxes"):
        Detections(np.array([0.5]))
    with pytest.raises(ValueError, match="one entry per score: 1 expected, got 2"):
        Detections(np.array([0.5]), bits(A, B))


# -- hot start, keep-alive, quality ------------------------------------------------------------------------------------


def test_a_track_proves_itself() -> None:
    association = begun(AssociationRules(hot_start=4), A)
    run(association, [{1: A}] * 3)
    assert not association.tracks[1].confirmed
    run(association, [{1: A}], start=4)
    assert association.tracks[1].confirmed
    assert begun(AssociationRules(hot_start=0), A).tracks[1].confirmed


@pytest.mark.parametrize(("unseen", "ends"), [(2, False), (3, True)])
def test_a_young_track_that_is_lost_is_dropped(unseen: int, ends: bool) -> None:
    association = begun(AssociationRules(hot_start=4), A)
    verdicts = run(association, [{}] * unseen + [{1: A}] * 2)
    ended = [end.reason for verdict in verdicts for end in verdict.ended]
    assert ended == (["unproven"] if ends else [])


def test_a_young_track_that_doubles_an_older_one_is_dropped() -> None:
    association = begun(AssociationRules(hot_start=4, merge_after=50), A)
    run(association, [{1: A}] * 5)
    association.admit(5, found(B), shown({1: A}))
    verdicts = run(association, [{1: A, 2: A}] * 3, start=6)
    assert [verdict.hidden for verdict in verdicts[:2]] == [{2: 1}] * 2
    assert [(end.track.obj_id, end.reason) for end in verdicts[2].ended] == [(2, "unproven")]


def test_keep_alive() -> None:
    association = begun(AssociationRules(hot_start=0, keep_alive=3), A)
    verdicts = run(association, [{1: A}] * 2 + [{}] * 3 + [{1: A}] + [{}] * 2)
    ended = [(number, end.reason) for number, verdict in enumerate(verdicts, 1) for end in verdict.ended]
    assert ended == [(8, "lost")]  # 3 frames to go, one won back, 2 used up


def test_evidence_of_a_detector_counts_instead() -> None:
    association = begun(AssociationRules(hot_start=0, keep_alive=1), A, B)
    for number in (1, 2):
        verdict = association.observe(number, shown({1: A, 2: B}), evidence={1})
    assert [end.track.obj_id for end in verdict.ended] == [2]


@pytest.mark.parametrize(("good", "reason"), [(0, "unproven"), (4, "unstable")])
def test_bad_masks_end(good: int, reason: str) -> None:
    association = begun(AssociationRules(hot_start=2, min_quality=0.6), A)
    verdicts = [
        association.observe(number, shown({1: A}, quality=0.9 if number <= good else 0.2))
        for number in range(1, 60)
        if 1 in association.tracks
    ]
    assert [end.reason for verdict in verdicts for end in verdict.ended] == [reason]


# -- duplicates --------------------------------------------------------------------------------------------------------


def test_the_one_that_came_back_later_is_hidden() -> None:
    """An object that was lost and now shows the mask of another one: the other one keeps it, old or young."""
    association = begun(AssociationRules(hot_start=0, merge_after=10), A, B)
    run(association, [{1: A, 2: B}] * 3 + [{2: B}] * 3)
    (verdict,) = run(association, [{1: B, 2: B}], start=7)
    assert verdict.hidden == {1: 2}
    (verdict,) = run(association, [{1: A, 2: B}], start=8)
    assert verdict.hidden == {} and verdict.ended == []


def test_a_frame_out_of_sight_costs_nobody_its_place() -> None:
    """The track that has come from elsewhere stays hidden, also when the rightful one was not seen for a frame."""
    association = begun(AssociationRules(hot_start=0, merge_after=50), A, B)
    run(association, [{1: A, 2: B}] * 8 + [{2: B}] * 2 + [{1: B, 2: B}] * 2 + [{1: B}])
    (verdict,) = run(association, [{1: B, 2: B}], start=14)
    assert verdict.hidden == {1: 2}


def test_the_one_that_jumped_is_hidden() -> None:
    association = begun(AssociationRules(hot_start=0), A, B)
    run(association, [{1: A, 2: B}] * 3)
    (verdict,) = run(association, [{1: B, 2: B}], start=4)
    assert verdict.hidden == {1: 2}


def test_tracks_that_stay_together_become_one() -> None:
    association = begun(AssociationRules(hot_start=0, merge_after=6), A, B)
    run(association, [{1: A, 2: B}] * 2)
    verdicts = run(association, [{1: A, 2: A}] * 7, start=3)
    ended = [(end.track.obj_id, end.reason, end.same_as) for verdict in verdicts for end in verdict.ended]
    assert ended == [(2, "duplicate", 1)]


def test_a_track_that_had_a_place_of_its_own_is_hidden_until_it_finds_it_again() -> None:
    association = begun(AssociationRules(hot_start=0, merge_after=6, keep_alive=40), A, B)
    together = [{1: B, 2: B}] * 20
    verdicts = run(association, [{1: A, 2: B}] * 6 + together + [{1: C, 2: B}])
    assert [verdict.hidden for verdict in verdicts] == [{}] * 6 + [{1: 2}] * 20 + [{}]
    assert not any(verdict.ended for verdict in verdicts)


def test_the_one_that_creeps_onto_another_one_is_hidden() -> None:
    """However long it has been there: it stood elsewhere before they met."""
    association = begun(AssociationRules(hot_start=0), A)
    run(association, [{1: A}] * 20)
    association.admit(20, found(B), shown({1: A}))
    creeping: list[dict[int, Place | None]] = [{1: (2, 2 + 2 * step, 8, 8), 2: B} for step in range(1, 8)]
    verdicts = run(association, [{1: A, 2: B}] * 3 + creeping + [{1: B, 2: B}] * 30, start=21)
    hidden = [verdict.hidden for verdict in verdicts]
    assert hidden[:8] == [{}] * 8 and hidden[8:] == [{1: 2}] * 32
    (verdict,) = run(association, [{1: A, 2: B}], start=61)
    assert verdict == Verdict({}, [])


def test_the_one_that_stays_may_move_on() -> None:
    """Where it stands is where it went since they met, not where they met."""
    association = begun(AssociationRules(hot_start=0), A, B)
    run(association, [{1: A, 2: B}] * 3)
    moving: list[dict[int, Place | None]] = [{1: place, 2: place} for place in [(2 + y, 16, 8, 8) for y in range(11)]]
    assert all(verdict.hidden == {1: 2} for verdict in run(association, moving, start=4))


def test_what_comes_to_lie_within_another_one_is_hidden() -> None:
    whole, part = (10, 14, 12, 12), (12, 15, 6, 6)
    association = begun(AssociationRules(hot_start=0), A, whole)
    run(association, [{1: A, 2: whole}] * 3 + [{2: whole}] * 2)
    (verdict,) = run(association, [{1: part, 2: whole}], start=6)
    assert verdict.hidden == {1: 2}


def test_what_lay_at_the_edge_and_moves_inside_is_hidden() -> None:
    whole = (2, 4, 12, 12)
    association = begun(AssociationRules(hot_start=0, new_share=0.0), A, whole)
    run(association, [{1: A, 2: whole}] * 3)
    (verdict,) = run(association, [{1: (6, 6, 8, 8), 2: whole}], start=4)
    assert verdict.hidden == {1: 2}


def test_who_is_the_guest_is_asked_whenever_two_meet() -> None:
    association = begun(AssociationRules(hot_start=0), A, B)
    run(association, [{1: A, 2: B}] * 3)
    verdicts = run(association, [{1: B, 2: B}, {1: A, 2: B}, {1: A, 2: A}], start=4)
    assert [verdict.hidden for verdict in verdicts] == [{1: 2}, {}, {2: 1}]


@pytest.mark.parametrize(("cover", "hides"), [((8, 10, 14, 20), True), ((0, 0, 24, 32), False)])
def test_a_backdrop_hides_nothing(cover: Place, hides: bool) -> None:
    association = begun(AssociationRules(hot_start=0, new_share=0.0), A, cover)
    run(association, [{1: A, 2: cover}] * 3)
    (verdict,) = run(association, [{1: (12, 16, 8, 8), 2: cover}], start=4)
    assert verdict.hidden == ({1: 2} if hides else {})


def test_parts_and_wholes_live_side_by_side() -> None:
    whole, part = (2, 2, 12, 12), (2, 2, 6, 12)
    association = begun(AssociationRules(hot_start=2, merge_after=3, new_share=0.0, match_iou=0.6), whole, part)
    verdicts = run(association, [{1: whole, 2: part}] * 10)
    assert len(association.tracks) == 2 and all(verdict == Verdict({}, []) for verdict in verdicts)


# -- invariants --------------------------------------------------------------------------------------------------------

PLACES = st.tuples(st.integers(0, 16), st.integers(0, 24), st.integers(1, 8), st.integers(1, 8))


@given(st.lists(PLACES, max_size=6), st.lists(PLACES, max_size=6))
def test_matching_is_one_to_one_and_mutual(candidates: list[Place], tracks: list[Place]) -> None:
    now = shown(dict(enumerate(tracks, 1)))
    matching = match(found(*candidates), now)
    rows = list(matching.row_of.values())
    assert len(set(rows)) == len(rows)
    assert all(matching.overlaps[row, now.row[obj_id]] >= 0.5 for obj_id, row in matching.row_of.items())
    free_rows = set(range(len(candidates))) - set(rows)
    unmatched = set(now.obj_ids) - set(matching.row_of)
    assert all(matching.overlaps[row, now.row[obj_id]] < 0.5 for row in free_rows for obj_id in unmatched)
    assert ((matching.free >= 0) & (matching.free <= 1)).all()


@given(st.lists(PLACES, min_size=1, max_size=5), st.lists(PLACES, min_size=1, max_size=5))
def test_boxes_against_masks_of_rectangles(first: list[Place], second: list[Place]) -> None:
    a, b = bits(*first), bits(*second)
    assert np.allclose(box_iou(boxes_of(a), boxes_of(b)), a.iou(b))
    assert np.allclose(box_covered(boxes_of(a), boxes_of(b)), a.covered(b))


LEFT = st.tuples(st.integers(0, 16), st.integers(0, 12), st.integers(4, 8), st.integers(1, 4))


@given(st.lists(st.tuples(LEFT, LEFT), min_size=1, max_size=8), st.lists(st.none() | LEFT, min_size=8, max_size=8))
def test_who_is_elsewhere_disturbs_nobody(together: list[tuple[Place, Place]], third: list[Place | None]) -> None:
    """A track on the right, whatever it does, changes nothing for two that meet on the left."""
    assume(together[0][0] != together[0][1])
    rules = AssociationRules(hot_start=0, merge_after=3, new_share=0.0, match_iou=1.0)
    alone, watched = begun(rules, *together[0]), begun(rules, *together[0], (0, 20, 4, 4))
    for number, ((first, second), other) in enumerate(zip(together, third, strict=False), 1):
        right = None if other is None else (other[0], other[1] + 16, *other[2:])
        now: dict[int, Place | None] = {1: first, 2: second}
        (one,), (two,) = run(alone, [now], number), run(watched, [{**now, 3: right}], number)
        assert one.hidden == two.hidden and {end[1:] for end in one.ended} == {end[1:] for end in two.ended}


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 5))
def test_whatever_happens(seed: int, most: int, hot_start: int) -> None:
    """Ids are never used twice, the budget holds, and what is hidden stands behind what is not."""
    rng = np.random.default_rng(seed)
    rules = AssociationRules(max_objects=most, hot_start=hot_start, keep_alive=4, merge_after=3)
    association, seen, gone = Association(rules), set(), set()

    def place() -> Place:
        y, x, height, width = rng.integers([0, 0, 1, 1], [17, 25, 9, 9]).tolist()
        return y, x, height, width

    where: dict[int, Place | None] = {}
    for frame in range(12):
        for obj_id in list(where):
            where[obj_id] = place() if rng.random() < 0.3 else where[obj_id] if rng.random() < 0.8 else None
        if where and rng.random() < 0.3:
            where[rng.choice(list(where))] = where[rng.choice(list(where))]
        verdict = association.observe(frame, shown(where, float(rng.uniform(0.3, 1))))
        assert set(verdict.hidden) <= association.tracks.keys()
        assert not set(verdict.hidden) & set(verdict.hidden.values())
        ended = list(verdict.ended)
        where = {obj_id: where[obj_id] for obj_id in association.tracks}
        candidates = [place() for _ in range(rng.integers(0, 4))]
        admission = association.admit(frame, found(*candidates), shown(where))
        ended += admission.ended
        assert not seen & admission.begun.keys()
        seen |= admission.begun.keys()
        where = {i: where[i] if i in where else candidates[admission.begun[i]] for i in association.tracks}
        assert len(association.tracks) <= most
        assert all(end.track.obj_id not in association.tracks | dict.fromkeys(gone) for end in ended)
        gone |= {end.track.obj_id for end in ended}
        assert seen == gone | association.tracks.keys()
        fresh = Shown(list(admission.begun), found(*candidates).masks[list(admission.begun.values())], np.zeros(0))  # type: ignore[index]
        assert (np.triu(fresh.overlaps, 1) < rules.match_iou).all()
