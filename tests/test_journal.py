from __future__ import annotations

from wslab.events import Notice
from wslab.journal import Journal, LabExtension, lab_extension


def texts(events):
    return [event.text for event in events]


def test_the_ring_is_bounded_and_counts_on():
    journal = Journal(capacity=3)
    for number in range(5):
        journal.publish(Notice(text=str(number)))
    assert texts(journal) == ["2", "3", "4"]
    assert (journal.published, len(journal), journal[-1].text) == (5, 3, "4")


def test_since_gives_what_a_reader_missed():
    journal = Journal(capacity=3)
    for number in range(5):
        journal.publish(Notice(text=str(number)))
    assert texts(journal.since(4)) == ["4"]
    assert texts(journal.since(0)) == ["2", "3", "4"]
    assert journal.since(5) == []


def test_subscribers_hear_in_order_until_they_end_it():
    journal, heard = Journal(), []
    end = journal.subscribe(lambda event: heard.append(("a", event.text)))
    journal.subscribe(lambda event: heard.append(("b", event.text)))
    journal.publish(Notice(text="1"))
    end()
    end()
    journal.publish(Notice(text="2"))
    assert heard == [("a", "1"), ("b", "1"), ("b", "2")]


def test_a_reader_that_fails_is_removed_and_told_and_the_others_go_on():
    journal, heard = Journal(), []

    def broken(event):
        raise ValueError("mine")

    journal.subscribe(broken)
    journal.subscribe(lambda event: heard.append(event.text))
    journal.publish(Notice(text="1"))
    journal.publish(Notice(text="2"))
    assert heard[-2:] == ["1", "2"]
    assert "broken failed and was removed" in heard[0]
    assert "ValueError: mine" in heard[0]


def test_its_repr_shows_the_newest():
    journal = Journal()
    journal.publish(Notice(text="hello"))
    assert "1 events" in repr(journal)
    assert "hello" in repr(journal)


def test_the_extension_is_found_only_where_a_lab_put_it():
    extension = LabExtension(Journal(), "c1")
    assert lab_extension({"extensions": {"wslab": extension}}) is extension
    assert lab_extension({"extensions": {"wslab": {}}}) is None
    assert lab_extension({}) is None
