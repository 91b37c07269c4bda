"""The dashboard beside the demo, on a real Kafka: what happens there is seen, and what is clicked happens.

One demo for all of these tests. A kiosk works beside its shop, whose machines a test breaks and mends.
"""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import json
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from uuid_utils import uuid7

from saga import KafkaSettings, Publisher
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from services.payments.provider import DECLINED_CARD
from tests.access_kit import put_user
from tests.browser import kiosk
from tests.browser.cli import told
from tests.browser.kiosk import CoffeeOrdered, counter
from tests.browser.test_access_pages import SEND_ACT
from tests.browser.test_operations import ask, sign_in
from tests.browser.test_pages import open_at, rows
from tests.browser.test_screenshots import take_pictures
from tests.integration.processes import Process
from tests.waiting import until
from tracker.access.role import Role
from tracker.core.dead_letter import read_place
from tracker.core.masking import MASK
from tracker.flow.parse import parse
from tracker.flow.record import FLOWS_TOPIC, encode_flow, flow_key
from tracker.view.dead_letters import read_whole_letter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

ROOT = f"{Path(__file__).parents[2]}/"
START_SECONDS_MAX = 150
SEEN_MS_MAX = 60_000
"""How long a test waits; how long it really takes is for the row `pixel` of the benchmarks."""

CARD = "4242-4242-4242-4242"


class Shop:
    """The demo with a kiosk beside it. `url` is where its dashboard is."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        self._broken = folder / "broken"
        self._broken.mkdir()
        users = folder / "users"
        for role in (Role.VIEWER, Role.OPERATOR):
            put_user(users, role.text, role)
        settings = {
            "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SAGA_ACCESS_USERS_FILE": str(users),
            "KIOSK_BROKEN": str(self._broken),
        }
        data = ["--data", str(folder / "demo"), "--bootstrap-servers", bootstrap_servers, "--rate", "2"]
        self.demo = Process(["services.demo", *data], settings, folder / "demo.log")
        self.kiosk = Process(["saga.cli", "run", "tests.browser.kiosk:kiosk"], settings, folder / "kiosk.log")
        self._thread = ThreadPoolExecutor(1)  # the browser's event loop runs in ours

    def start(self) -> None:
        """Return when the dashboard answers and somebody sells coffee."""
        self._thread.submit(asyncio.run, _publish_flow(self._settings)).result()
        self.demo.start()
        self.kiosk.start()
        until(
            lambda: self._said() or self.demo.running.poll() is not None,
            START_SECONDS_MAX,
            what="the demo says where its dashboard is",
        )
        assert self._said(), self.demo.output()
        self.url = self._said()

    def _said(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.demo.output())
        return found.group() if found else ""

    def order(self, order: CoffeeOrdered | OrderPlaced, saga: str = "") -> str:
        """Place it; the id of its saga."""
        return self._thread.submit(asyncio.run, self._publish(order, saga)).result()

    async def _publish(self, order: CoffeeOrdered | OrderPlaced, saga: str) -> str:
        service = counter if isinstance(order, CoffeeOrdered) else orders
        async with Publisher(service, self._settings) as publisher:
            return await publisher.publish(order, saga_id=saga or None)

    def litters(self) -> None:
        """A record that is no event, where events are expected."""
        self._thread.submit(asyncio.run, self._litter()).result()

    async def _litter(self) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._settings.bootstrap_servers) as producer:
            await producer.send_and_wait(CoffeeOrdered.declared.topic, b"a paper cup")

    def sent(self, letter: str) -> object:
        """The payload that went back in the place of this letter's."""
        place = read_place(letter)
        assert place is not None
        whole = self._thread.submit(asyncio.run, read_whole_letter(self._settings, place)).result()
        assert whole.standing.treatment is not None
        return json.decode(whole.standing.treatment.payload)

    def breaks(self, machine: str) -> None:
        (self._broken / machine).touch()

    def is_mended(self, machine: str) -> None:
        (self._broken / machine).unlink()


async def _publish_flow(settings: KafkaSettings) -> None:
    """As a tracker does that has the file: the demo's own begins with what is there."""
    flow = parse(kiosk.FLOW, "coffee.yaml").flow
    assert flow is not None
    await ensure_topics(settings, [Topic(FLOWS_TOPIC, 1, {"cleanup.policy": "compact"})])
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        key = flow_key(flow.name, flow.version).encode()
        await producer.send_and_wait(FLOWS_TOPIC, encode_flow(flow), key=key)


@pytest.fixture(scope="module")
def shop(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """On a broker of its own: the tracker's topics and groups have fixed names. (`kafka` decides about
    skipping.)
    """
    with LocalKafka() as broker:
        found = Shop(broker.bootstrap_servers, tmp_path_factory.mktemp("shop"))
        try:
            found.start()
            yield found
            assert found.demo.stop() == 0, found.demo.output()
        finally:
            found.kiosk.end()
            found.demo.end()


@pytest.fixture(scope="module")
def signed_in(shop: Shop, browser: Browser) -> dict[str, str]:
    """The cookies of an operator."""
    page = browser.new_page()
    sign_in(page, shop.url, Role.OPERATOR, "/")
    cookies = {each["name"]: each["value"] for each in page.context.cookies()}
    page.close()
    return cookies


@pytest.fixture
def operator(shop: Shop, signed_in: dict[str, str], window: BrowserContext, page: Page) -> Page:
    """A page of an operator."""
    window.add_cookies([{"name": name, "value": signed_in[name], "url": shop.url} for name in signed_in])
    page.set_default_timeout(SEEN_MS_MAX)
    return page


def coffee(name: str, wish: str = "espresso") -> CoffeeOrdered:
    return CoffeeOrdered(order_id=name, wish=wish, card=CARD)


def status(page: Page) -> Locator:
    return page.locator(".title-row .status")


def panel(page: Page, title: str, *, exact: bool = False) -> Locator:
    return page.locator(".panel", has=page.get_by_role("heading", name=title, exact=exact))


def shows(where: Locator, text: str | re.Pattern[str]) -> None:
    expect(where).to_contain_text(text, timeout=SEEN_MS_MAX)


def test_the_overview_counts_on_while_the_demo_runs(shop: Shop, operator: Page) -> None:
    open_at(operator, shop.url)
    done = operator.get_by_role("region", name="order").locator(".stage.end .standing")
    shows(done, re.compile("[1-9]"))

    expect(done).not_to_have_text(done.inner_text(), timeout=SEEN_MS_MAX)


def test_a_declined_order_is_undone_before_the_eyes_of_who_looks(shop: Shop, operator: Page) -> None:
    saga = str(uuid7())
    open_at(operator, f"{shop.url}/sagas/{saga}")
    shows(operator.locator("h1"), "No such saga")
    operator.evaluate("window.loaded_once = true")

    shop.order(
        OrderPlaced(
            order_id="o-declined", lines=[OrderLine(sku="bolt", quantity=1)], amount=9.5, card=DECLINED_CARD
        ),
        saga,
    )

    shows(status(operator), "compensated")
    shows(operator.locator("#timeline"), "↩ stock.release")
    shows(operator.locator("#compensation"), "1 of 1 undone, because of payment.declined")
    assert operator.evaluate("window.loaded_once")


def test_an_order_is_found_by_its_number(shop: Shop, operator: Page) -> None:
    saga = shop.order(coffee("c-wanted"))
    open_at(operator, f"{shop.url}/sagas?event=coffee.served")
    shows(operator.locator("tbody"), "c-wanted")

    operator.keyboard.press("/")
    operator.keyboard.type("c-wanted")
    operator.keyboard.press("Enter")

    expect(operator).to_have_url(f"{shop.url}/sagas/{saga}")
    shows(status(operator), "completed")


def test_an_operator_cancels_one(shop: Shop, operator: Page) -> None:
    saga = shop.order(coffee("c-later", "later"))
    open_at(operator, f"{shop.url}/sagas/{saga}")
    shows(operator.locator("#timeline"), "cup.taken")

    operator.get_by_role("button", name="Cancel").click()
    ask(operator, "Cancel", "nobody waits for it")

    shows(status(operator), "compensated")
    shows(operator.locator("#timeline"), "↩ cup.return")
    shows(operator.locator("#history"), re.compile("operator.*cancel.*nobody waits for it", re.DOTALL))


def test_an_operator_retries_an_undo_that_is_stuck(shop: Shop, operator: Page) -> None:
    shop.breaks("dishwasher")
    saga = shop.order(coffee("c-stuck", "tea"))
    open_at(operator, f"{shop.url}/sagas/{saga}")
    shows(status(operator), "stuck")
    shows(operator.locator("#compensation"), "0 of 1 undone, because of coffee.refused")

    shop.is_mended("dishwasher")
    operator.locator("#compensation").get_by_role("button", name="Retry").click()
    ask(operator, "Retry", "the dishwasher is mended")

    shows(status(operator), "compensated")
    shows(operator.locator("#compensation"), "1 of 1 undone")


def test_an_operator_redrives_dead_letters_and_sees_how_far_that_is(shop: Shop, operator: Page) -> None:
    shop.breaks("grinder")
    sagas = [shop.order(coffee(f"c-ground-{number}")) for number in range(3)]
    open_at(operator, f"{shop.url}/dead-letters?service=kiosk&type=coffee.ordered")
    shows(operator.locator(".head"), "3 letters")

    shop.is_mended("grinder")
    operator.locator(".head").get_by_role("button", name="Redrive").click()
    ask(operator, "Redrive", "the grinder is mended")

    redrive = operator.locator("#redrives .job").first
    shows(redrive, "by operator: the grinder is mended")
    shows(redrive, "3 succeeded")
    expect(rows(operator).locator(".state", has_text="succeeded")).to_have_count(3, timeout=SEEN_MS_MAX)
    open_at(operator, f"{shop.url}/sagas/{sagas[0]}")
    shows(status(operator), "completed")


def test_a_dead_letter_is_edited_without_seeing_its_card_and_redriven(
    shop: Shop, operator: Page, tmp_path: Path
) -> None:
    shop.breaks("grinder")
    saga = shop.order(coffee("c-letter", "tea"))
    open_at(operator, f"{shop.url}/dead-letters?service=kiosk&saga={saga}")
    expect(rows(operator)).to_have_count(1, timeout=SEEN_MS_MAX)
    rows(operator).first.get_by_role("link", name="saga.dlq.kiosk").click()
    shows(operator.locator(".page"), f'"card": "{MASK}"')
    expect(operator.locator("#trace")).to_contain_text("MachineBroken: the grinder is broken")
    expect(operator.locator("#headers")).to_contain_text(re.compile("ce_type.*coffee.ordered"))
    letter = operator.locator(".head span.mono").inner_text()

    shop.is_mended("grinder")
    operator.locator(".head").get_by_role("button", name="Edit").click()
    payload = operator.locator("dialog[open] textarea[name=payload]")
    payload.fill(payload.input_value().replace("tea", "espresso"))
    operator.fill("dialog[open] textarea[name=reason]", "there is no tea")
    operator.locator("dialog[open]").get_by_role("button", name="Edit", exact=True).click()
    shows(panel(operator, "Payload that a redrive sends"), '"wish": "espresso"')
    expect(panel(operator, "Payload", exact=True)).to_contain_text('"wish": "tea"')
    assert CARD not in operator.content()
    # Where this machine has its files is for nobody.
    operator.locator("#trace pre").evaluate(
        "(pre, root) => pre.textContent = pre.textContent.replaceAll(root, '')", ROOT
    )
    take_pictures(operator, "letter", tmp_path)
    operator.locator(".head").get_by_role("button", name="Redrive").click()
    ask(operator, "Redrive", "with coffee instead")

    shows(operator.locator(".head .state"), "succeeded")
    shows(operator.locator("#history"), "succeeded by operator: with coffee instead")
    assert shop.sent(letter) == {"order_id": "c-letter", "wish": "espresso", "card": CARD}
    open_at(operator, f"{shop.url}/sagas/{saga}")
    shows(status(operator), "completed")


def test_records_that_belong_to_no_saga_are_told_with_the_reason(
    shop: Shop, operator: Page, tmp_path: Path
) -> None:
    shop.litters()
    open_at(operator, f"{shop.url}/orphans")
    shows(operator.locator(".head"), re.compile("[1-9].* belong to no saga"))
    shows(
        rows(operator).filter(has_text="coffee/"), "no CloudEvent, and no correlation rule is for its topic"
    )
    count = operator.locator(".rail a", has_text="Orphans").locator(".count").inner_text()
    expect(operator.locator(".head")).to_contain_text(f"{count} of the last")
    take_pictures(operator, "orphans", tmp_path)


def test_a_dead_letter_is_discarded_with_a_reason(shop: Shop, operator: Page) -> None:
    shop.breaks("grinder")
    saga = shop.order(coffee("c-cold"))
    open_at(operator, f"{shop.url}/dead-letters?service=kiosk&saga={saga}")
    expect(rows(operator)).to_have_count(1, timeout=SEEN_MS_MAX)

    rows(operator).first.get_by_role("button", name="Discard").click()
    ask(operator, "Discard", "gone by now")

    shows(rows(operator).first, "discarded")
    shop.is_mended("grinder")


def test_the_map_draws_what_happens_and_a_line_leads_to_the_sagas_on_it(shop: Shop, operator: Page) -> None:
    open_at(operator, f"{shop.url}/flows/order")
    drawn = operator.locator("#map svg")
    line = drawn.locator("a[href$='%2Cshipping%2Cparcel.dispatched'] path.arrow")
    shows(line.locator("xpath=..").locator("title"), re.compile(r"parcel\.dispatched: [1-9]"))

    middle = line.evaluate(
        """(path) => {
          const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
          return [at.x, at.y];
        }"""
    )
    operator.mouse.click(*middle)

    expect(operator).to_have_url(re.compile("edge=.*%2Cshipping%2Cparcel.dispatched$"))
    shows(rows(operator).first, "completed")


def test_a_payload_is_masked_and_whole_for_an_operator_who_says_why(shop: Shop, operator: Page) -> None:
    saga = shop.order(coffee("c-seen"))
    open_at(operator, f"{shop.url}/sagas/{saga}")
    operator.locator("#timeline").get_by_role("link", name="coffee.ordered").click()
    drawer = operator.get_by_role("complementary", name="Event coffee.ordered")
    shows(drawer, f'"card": "{MASK}"')
    assert CARD not in operator.content()

    drawer.get_by_role("button", name="Unmask").click()
    ask(operator, "Unmask", "the customer asks")

    shows(operator.locator(".said code"), CARD)
    operator.locator(".said").get_by_role("button", name="Close").click()
    expect(operator.locator(".said")).to_have_count(0)
    assert CARD not in operator.content()


def test_one_action_is_for_all_that_are_chosen(shop: Shop, operator: Page) -> None:
    names = [f"c-many-{number}" for number in range(3)]
    for name in names:
        shop.order(coffee(name, "later"))
    open_at(operator, f"{shop.url}/sagas?status=open&event=cup.taken")
    for name in names:
        shows(rows(operator).filter(has_text=name), name)
    for name in names:  # all are there: none comes and moves the others under the pointer
        rows(operator).filter(has_text=name).get_by_role("checkbox").check()

    operator.get_by_role("button", name="Act on several…").click()
    operator.locator("dialog[open] select[name=action]").select_option("cancel")
    ask(operator, "Act on several", "we close")

    job = operator.locator("#jobs .job").filter(has_text="we close")
    shows(job, "cancel 3 sagas")
    shows(job, "3 accepted")
    open_at(operator, f"{shop.url}/sagas?status=compensated&event=cup.taken")
    for name in names:
        shows(rows(operator).filter(has_text=name), "compensated")


def test_rows_hold_still_while_somebody_is_at_them(shop: Shop, operator: Page) -> None:
    saga = shop.order(coffee("c-still", "later"))
    open_at(operator, f"{shop.url}/sagas?event=cup.taken")
    row = rows(operator).filter(has_text="c-still")
    shows(row, "open")
    row.hover()
    place = row.bounding_box()
    assert place is not None

    shop.order(coffee("c-above", "later"))
    waiting(operator, 1)
    asked = {"action": "cancel", "reason": "nobody waits for it"}
    assert operator.request.post(f"{shop.url}/api/v1/sagas/{saga}/commands", data=asked).ok
    shows(row, "compensated")
    operator.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(operator).to_have_url(f"{shop.url}/sagas/{saga}")

    open_at(operator, f"{shop.url}/sagas?event=cup.taken")
    shows(rows(operator).first, "c-above")
    rows(operator).first.get_by_role("checkbox").check()
    operator.mouse.move(0, 0)
    shop.order(coffee("c-unseen", "later"))
    waiting(operator, 1)
    expect(rows(operator).first).to_contain_text("c-above")
    rows(operator).first.get_by_role("checkbox").uncheck()
    operator.mouse.move(0, 0)
    shows(rows(operator).first, "c-unseen")

    operator.keyboard.press("j")
    shop.order(coffee("c-last", "later"))
    waiting(operator, 1).press("Enter")
    expect(rows(operator).first.get_by_role("link", name="c-last")).to_be_focused()


def waiting(page: Page, count: int) -> Locator:
    """The button that shows rows which wait."""
    button = page.get_by_role("button", name=f"{count} new: show them", exact=True)
    expect(button).to_be_visible(timeout=SEEN_MS_MAX)
    return button


def test_the_numbers_are_those_that_the_cli_reads_from_kafka(shop: Shop, operator: Page) -> None:
    shop.order(coffee("c-counted"))
    open_at(operator, f"{shop.url}/sagas?flow=coffee")
    shows(rows(operator).filter(has_text="c-counted"), "completed")

    at = "--bootstrap-servers", shop.bootstrap_servers
    sagas = told("list", "--flow", "coffee", "--limit", "0", *at)
    funnel = told("funnel", "coffee", *at)

    expect(rows(operator)).to_have_count(len(sagas))
    for saga in sagas:
        shows(rows(operator).filter(has_text=saga["id"][-8:]), saga["status"])
    open_at(operator, shop.url)
    card = operator.get_by_role("region", name="coffee")
    shows(card, f"{funnel['in_flight']:,} in flight")
    for stage in funnel["stages"]:
        if count := stage["standing"] + stage["compensating"]:
            shows(card.locator(".stage", has_text=stage["type"]).locator(".standing"), f"{count:,}")


def test_a_viewer_has_no_buttons_and_is_refused_by_the_server(shop: Shop, page: Page) -> None:
    saga = shop.order(coffee("c-viewed", "later"))
    sign_in(page, shop.url, Role.VIEWER, f"/sagas/{saga}")
    shows(page.locator("#timeline"), "cup.taken")
    expect(page.locator(".page form, .page dialog, .page .actions")).to_have_count(0)

    page.evaluate(SEND_ACT, ["saga cancel", {"saga": saga, "reason": "I can"}])
    expect(page.locator(".said")).to_contain_text("this needs operator")
    asked = {"action": "cancel", "reason": "I can"}
    refused = page.request.post(f"{shop.url}/api/v1/sagas/{saga}/commands", data=asked)

    assert refused.status == 403, refused.text()
    shows(status(page), "open")
    expect(page.locator("#history")).to_have_count(0)
