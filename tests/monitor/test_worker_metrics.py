"""The metrics of workers on the monitor: their text, rates, latencies, quantiles from buckets."""

from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.monitor.workers.history import WINDOW_S, History
from eddycast.service.monitor.workers.quantiles import Buckets, summed
from eddycast.service.monitor.workers.scrape import SAMPLES, parse_scrape
from tests.monitor.worker_ports import worker_ports

STARTED = "process_start_time_seconds"


def made_up(records: float, started: float = 1.0, **buckets: float) -> str:
    """A worker's metrics; buckets by upper edge, as le_0_1=5.0."""
    lines = [f"eddycast_records_total {records}", f"{STARTED} {started}"]
    for edge, count in buckets.items():
        upper = edge.removeprefix("le_").replace("_", ".").replace("inf", "+Inf")
        name = "eddycast_end_to_end_acknowledged_seconds_bucket"
        lines.append(f'{name}{{le="{upper}"}} {count}')
    return "\n".join(lines)


class TestQuantiles:
    def test_values_are_spread_evenly_within_a_bucket(self) -> None:
        buckets = Buckets.of({0.1: 10.0, 0.2: 30.0, 0.4: 40.0, np.inf: 40.0})
        assert buckets.quantile(0.25) == pytest.approx(0.1)
        assert buckets.quantile(0.5) == pytest.approx(0.15)
        assert buckets.quantile(0.99) == pytest.approx(0.2 + 0.2 * 9.6 / 10)
        assert buckets.quantile(0.125) == pytest.approx(0.05)

    def test_beyond_the_last_edge_it_is_that_edge_and_without_values_none(self) -> None:
        assert Buckets.of({1.0: 0.0, np.inf: 5.0}).quantile(0.5) == 1.0
        assert Buckets.of({1.0: 0.0, np.inf: 0.0}).quantile(0.5) is None
        assert Buckets.of({}).quantile(0.5) is None

    def test_workers_are_added_up_where_their_buckets_agree(self) -> None:
        one, other = Buckets.of({1.0: 1.0, 2.0: 3.0}), Buckets.of({1.0: 4.0, 2.0: 4.0})
        both = summed([one, other, Buckets.of({5.0: 9.0})])
        assert both is not None and both.counts.tolist() == [5.0, 7.0]
        assert summed([]) is None


class TestHistory:
    def test_rates_are_of_the_last_interval_and_latencies_of_the_window(self) -> None:
        history = History()
        history.add(parse_scrape(made_up(100, le_0_1=100, le_inf=100), 0.0))
        assert history.rate("records_total") is None and history.latencies() == {}
        history.add(parse_scrape(made_up(160, le_0_1=130, le_inf=160), 3.0))
        history.add(parse_scrape(made_up(400, le_0_1=130, le_inf=400), 6.0))
        assert history.rate("records_total") == 80.0
        (found,) = history.latencies().values()
        assert found.counts.tolist() == [30.0, 300.0]

    def test_what_is_older_than_the_window_is_left_out(self) -> None:
        history = History()
        for i in range(60):
            history.add(parse_scrape(made_up(i, le_inf=i), 3.0 * i))
        (found,) = history.latencies().values()
        assert found.counts.tolist() == [WINDOW_S / 3]

    @pytest.mark.parametrize(("records", "started"), [(5, 1.0), (500, 2.0)])
    def test_a_process_that_started_anew_has_no_past(self, records: float, started: float) -> None:
        history = History()
        for taken_s in (0.0, 3.0):
            history.add(parse_scrape(made_up(100), taken_s))
        history.add(parse_scrape(made_up(records, started), 6.0))
        assert history.rate("records_total") is None


class TestText:
    def test_the_text_of_a_real_worker(self) -> None:
        with worker_ports((1, 2)) as (worker,):
            worker.serve(8, 0.03)
            scrape = parse_scrape(worker.text, 0.0)
        assert scrape.numbers["records_total"] == 8
        assert scrape.by_label["consumer_lag"] == {"1": 10.0, "2": 20.0}
        assert scrape.by_label["dead_letters_total"] == {"not_json": 3.0}
        assert scrape.model == {"model": "walk@1", "version": "beef" * 3, "family": "lstm"}
        assert scrape.histograms["stage_seconds", "step"].total == 1
        assert scrape.histograms["end_to_end_acknowledged_seconds", ""].total == 8

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "<html>no metrics</html>",
            "eddycast_streams 5",
            "eddycast_records_total many",
            'eddycast_records_total{a="b 5',
            'eddycast_records_total 5\neddycast_commit_seconds_bucket{le="wide"} 5',
            "eddycast_records_total 5\neddycast_commit_seconds_bucket 5",
            "eddycast_records_total 5\n" * (SAMPLES + 1),
        ],
    )
    def test_another_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_scrape(text, 0.0)

    def test_numbers_that_json_cannot_hold_are_left_out(self) -> None:
        lines = "eddycast_streams 1e300\neddycast_model_age_seconds NaN\neddycast_partitions +Inf"
        assert set(parse_scrape(f"{made_up(5)}\n{lines}", 0.0).numbers) == {
            "records_total",
            STARTED,
        }
