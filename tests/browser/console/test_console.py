"""The operators' console in a real browser, in front of a cluster made of dictionaries."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.async_api import Browser, expect

from tests.browser.console.operator_page import Operator
from tests.support.admin_edge import TOKEN, AdminEdge

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIM = "kim (127.0.0.1)"


async def test_the_token_opens_it_and_a_reload_forgets_it(operator: Operator) -> None:
    await operator.open(token="wrong-wrong-wrong")
    await expect(operator.page.get_by_role("alert").first).to_have_text(
        "This is not the operators' token."
    )
    await expect(operator.page.locator("#desk")).to_be_hidden()
    await operator.open()
    await expect(operator.page.locator("#headline")).to_contain_text("leader a, term 3")
    kept = await operator.page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,"
        " location.href, document.documentElement.outerHTML])"
    )
    assert TOKEN not in kept
    await operator.page.reload()
    await expect(operator.page.locator("#gate")).to_be_visible()
    await expect(operator.page.get_by_label("Operators' token")).to_have_value("")
    # The browser itself writes down an answer of 401.
    assert all("401" in complaint for complaint in operator.complaints)
    operator.complaints.clear()


async def test_the_map_shows_every_shard_and_follows_its_moves(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    await expect(operator.page.locator("#map button")).to_have_count(256)
    await expect(operator.shard(4)).to_have_attribute(
        "title", re.compile("^Shard 4, on b, epoch 1")
    )
    await admin.operations.move(4, "a", "lee")
    await expect(operator.shard(4)).to_have_class(re.compile("moving"))
    await expect(operator.shard(4)).to_have_attribute("title", re.compile("moving to a"))
    admin.operations.step()
    await expect(operator.shard(4)).to_have_attribute("title", re.compile("on a, epoch 2"))
    await expect(operator.shard(4)).to_have_text("A")
    await expect(operator.page.locator("#handovers li")).to_have_count(1)
    await expect(operator.page.locator("#handovers")).to_contain_text("shard 4: b → a, 24 ms")


async def test_a_drain_says_what_will_happen_and_does_it_only_then(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    await operator.button("Drain… b").click()
    await expect(operator.dialog).to_contain_text(
        "b has 85 shards. They move to 2 other instances."
    )
    await operator.answer("Not now")
    assert not admin.operations.instances["b"].draining
    await operator.button("Drain… b").click()
    await operator.answer("Drain b")
    await expect(operator.said).to_have_text("b is being drained.")
    await expect(operator.row("b.internal").or_(operator.row("B b"))).to_contain_text("draining")
    admin.operations.step(256)
    await expect(operator.page.locator("#legend")).to_contain_text("B b 0")
    await expect(operator.page.locator("#trail tbody tr").first).to_contain_text(KIM)
    assert await admin.said() == [(KIM, "drain", {"instance": "b"})]
    await operator.button("Undrain… b").click()
    await operator.answer("Undrain b")
    await expect(operator.button("Drain… b")).to_be_visible()


async def test_an_eviction_is_not_one_enter_away(operator: Operator, admin: AdminEdge) -> None:
    await operator.open()
    await operator.button("Evict… c").click()
    await expect(operator.dialog).to_contain_text("without asking it")
    await operator.page.keyboard.press("Enter")
    await expect(operator.dialog).to_be_hidden()
    assert not admin.operations.instances["c"].evicted
    await operator.button("Evict… c").click()
    await operator.answer("Evict c")
    await expect(operator.button("Undrain… c")).to_be_visible()
    assert admin.operations.instances["c"].evicted


async def test_a_plan_is_shown_applied_exactly_and_aborted(
    operator: Operator, admin: AdminEdge
) -> None:
    admin.operations.join("d")
    await operator.open()
    await operator.button("Plan…").click()
    await expect(operator.dialog).to_contain_text("64 moves would make the shards even")
    await expect(operator.dialog.locator("table").nth(1).locator("tbody tr")).to_have_count(64)
    assert all(state.desired == state.owner for state in admin.operations.shards)
    await operator.answer("Make these 64 moves")
    await expect(operator.page.locator("#balance")).to_contain_text("running, 0 of 64")
    admin.operations.step(10)
    await expect(operator.page.locator("#balance")).to_contain_text("running, 10 of 64")
    await operator.button("Abort…").click()
    await operator.answer("Abort it")
    await expect(operator.page.locator("#balance")).to_contain_text("aborted, 10 of its 64 shards")
    assert [what for _, what, _ in await admin.said()] == ["rebalance", "abort"]


async def test_a_plan_that_is_stale_by_then_is_said_and_not_made(
    operator: Operator, admin: AdminEdge
) -> None:
    admin.operations.join("d")
    await operator.open()
    await operator.button("Plan…").click()
    await expect(operator.dialog).to_be_visible()
    await admin.operations.pin(7, "c", "lee")
    await operator.answer("Make these 64 moves")
    await expect(operator.said).to_contain_text("shard 7")
    assert admin.operations.rebalance is None
    # The browser itself writes down an answer of 409.
    assert all("409" in complaint for complaint in operator.complaints)
    operator.complaints.clear()


async def test_a_shard_is_found_and_frozen_by_keyboard_alone(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    await operator.shard(0).focus()
    press = operator.page.keyboard.press
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        await press(key)
    await expect(operator.page.locator("#shard")).to_contain_text("Shard 18, on a")
    await expect(operator.shard(18)).to_be_focused()
    await operator.button("Freeze…").focus()
    await press("Enter")
    await operator.page.keyboard.type("<img src=x onerror=alert(1)>")
    await press("Enter")
    await expect(operator.page.locator("#shard")).to_contain_text("frozen: <img src=x")
    assert admin.operations.shards[18].frozen == "<img src=x onerror=alert(1)>"
    assert await operator.page.locator("img").count() == 0
    await operator.button("Unfreeze…").click()
    await operator.answer("Unfreeze it")
    await expect(operator.button("Freeze…")).to_be_visible()


async def test_a_shard_is_pinned_to_a_chosen_instance(operator: Operator, admin: AdminEdge) -> None:
    await operator.open()
    await operator.shard(9).click()
    await operator.button("Pin…").click()
    await operator.dialog.get_by_label("To").select_option("c")
    await operator.answer("Pin it")
    await expect(operator.shard(9)).to_have_class(re.compile("pinned"))
    assert admin.operations.shards[9].pinned_to == "c"


async def test_a_queue_is_paused_and_its_limits_changed(
    operator: Operator, admin: AdminEdge
) -> None:
    await admin.instance.line_up(1, 2, 3)
    await operator.open()
    await operator.button("Pause… queue main").click()
    await expect(operator.dialog).to_contain_text("2 people wait and keep their place")
    await operator.answer("Pause it")
    await expect(operator.page.locator("#queues .state")).to_have_text("paused")
    await operator.button("Limits… queue main").click()
    await operator.answer("Look at the change")
    await expect(operator.dialog).to_contain_text("Nothing is changed.")
    await operator.dialog.get_by_label("Inside at once").fill("2500")
    await operator.answer("Look at the change")
    await expect(operator.dialog).to_contain_text("Inside at once: 1,000 → 2,500")
    await operator.answer("Change it")
    await expect(operator.page.locator("#queues .rules")).to_contain_text("at most 2,500 inside")
    assert admin.instance.queue.policy.max_active == 2_500
    changes = admin.instance.events("PolicyChanged")[1:]
    assert [msgspec.json.decode(row.payload)["who"] for row in changes] == [KIM, KIM]


async def test_an_audit_is_asked_for_and_its_verdict_shown(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    await operator.button("Audit now…").click()
    await operator.answer("Audit it")
    await expect(operator.page.locator("#verdict")).to_contain_text("running now")
    admin.audits.end("seat 7 is sold twice")
    await expect(operator.page.locator("#verdict")).to_contain_text("VIOLATED")
    await expect(operator.page.locator("#violations")).to_contain_text("seat 7 is sold twice")


async def test_a_service_that_goes_away_is_said_and_comes_back(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    await expect(operator.page.locator("#map button")).to_have_count(256)
    port = admin.server.port
    await admin.stop()
    await expect(operator.page.locator("#trouble")).to_contain_text("No answer.")
    again = AdminEdge()
    again.operations.instances["b"].draining = True
    await again.start(port)
    await expect(operator.page.locator("#trouble")).to_be_empty()
    await expect(operator.page.locator("#instances")).to_contain_text("draining")
    await operator.page.close()
    await again.stop()
    # The browser itself writes down that a connection was refused.
    assert all("ERR_" in complaint for complaint in operator.complaints), operator.complaints
    operator.complaints.clear()


@pytest.mark.parametrize("width", [390, 1400])
async def test_it_fits_and_follows_the_taste_for_light_or_dark(
    browser: Browser, admin: AdminEdge, width: int
) -> None:
    backs = []
    for scheme in ("light", "dark"):
        page = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        operator = Operator(page, admin.url)
        await operator.open()
        await expect(page.locator("#map button")).to_have_count(256)
        backs.append(await page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
        wide = await page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
        assert not wide, "it scrolls sideways"
        assert operator.complaints == []
        await page.close()
    assert backs[0] != backs[1]
