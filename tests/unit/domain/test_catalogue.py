import pytest

from booking.catalogue.domain import Catalogue, Schedule, seat_id
from booking.domain.persistent import Prices

OPEN = Schedule("hall-1", "c", "Concert", 100, 200, 10, 20, Prices([(1, 5), (7, 6), (50, 7)]))
CATALOGUE = Catalogue({"hall-1": OPEN, "hall": OPEN})


@pytest.mark.parametrize(("now_ms", "yes"), [(9, False), (10, True), (19, True), (20, False)])
def test_a_date_is_bookable_from_its_start_until_just_before_its_end(
    now_ms: int, yes: bool
) -> None:
    assert OPEN.bookable(now_ms) is yes


def test_a_date_has_as_many_seats_as_it_has_prices() -> None:
    assert OPEN.total_seats == 3


def test_a_seat_is_found_by_the_id_it_was_given() -> None:
    assert CATALOGUE.find_seat(seat_id("hall-1", 7)) == (OPEN, 7)
    assert CATALOGUE.find_seat("hall-1") == (OPEN, 1)


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "-",
        "7",
        "hall-1-",
        "hall-1-2",
        "hall-1-07",
        "hall-1-+7",
        "hall-1--7",
        "hall-1- 7",
        "hall-1-7 ",
        "hall-1-7.0",
        "hall-1-1_0",
        "hall-1-７",  # noqa: RUF001  a full-width digit, which int() would take
        "hall-1-²",
        "hall-1-9999999999",
        "hall-1-" + "9" * 5000,
        "nowhere-7",
        "HALL-1-7",
    ],
)
def test_only_the_canonical_spelling_of_an_existing_seat_is_found(wanted: str) -> None:
    assert CATALOGUE.find_seat(wanted) is None


# -- prices ----------------------------------------------------------------------------------------

SEATS = [
    {},
    {1: 0},
    dict.fromkeys(range(1, 200), 90_000),
    {number: 90_000 + number % 2 for number in range(1, 200)},
    {number: 90_000 - number // 40 for number in range(1, 200) if number % 30},
    {999_999_999: 1_000_000_000, 4: 7, 2: 7, 3: 8, 900: 8},
]


@pytest.mark.parametrize("seats", SEATS)
def test_prices_read_as_the_mapping_they_are_made_of(seats: dict[int, int]) -> None:
    seats = dict(sorted(seats.items()))
    prices = Prices(seats.items())

    assert prices == seats
    assert (len(prices), list(prices)) == (len(seats), list(seats))
    assert [prices.get(number) for number in range(1001)] == [seats.get(n) for n in range(1001)]
    pairs = list(seats.items())
    for place in range(len(pairs) + 2):
        assert list(prices.pairs(place)) == pairs[place:]


def test_prices_are_equal_and_of_the_same_seats_as_mappings_are() -> None:
    for one in SEATS:
        for other in SEATS:
            left, right = Prices(sorted(one.items())), Prices(sorted(other.items()))
            assert (left == right) is (one == other)
            assert left.same_seats(right) is (one.keys() == other.keys())
