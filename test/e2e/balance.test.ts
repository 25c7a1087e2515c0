// Goal: a node that has seen a week of days moves data before the afternoon that would overload it,
// by its own decision; it does nothing while people paused it; and everybody can read why it did.
// Method: real daemons, real I/O, and a clock of load that makes an hour of 7.5 s. A volume with seven
// imported days is on one of two nodes, each limited to less than its afternoon needs. What is
// asserted is the order of events by the clock of load, and what people are shown; no duration.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { peakOf } from '../../cli/day-run.ts'
import { DEMO_DAY, PAST_DAYS, THRESHOLD_PART } from '../../cli/day-setting.ts'
import { type DayEvent, DayWatch } from '../../cli/day-watch.ts'
import type {
  PlanDocument,
  ReceiptDocument,
  ReceiptsDocument
} from '../../node/control/balance-documents.ts'
import { type DayMesh, startDayMesh, VOLUME } from '../support/day-mesh.ts'
import { THREE_AND_GATEWAY } from '../support/process-mesh.ts'
import { chunksByNode } from '../support/process-moves.ts'
import { seedOfRun } from '../support/process-random.ts'
import { until } from '../support/process-spawn.ts'

const seed = seedOfRun()
const HOUR_MS = 3_600_000
/** Three hours before the load is too much. */
const STARTS_AT_MS = 10.5 * HOUR_MS
const SETTING = { ...DEMO_DAY, rate: 480, seed }
const NODES = THREE_AND_GATEWAY.filter(({ name }) => name !== 'east')
/** Foreseen so early that a machine with other work still has time for the move. */
const HORIZON_MINUTES = 180
const THRESHOLD = THRESHOLD_PART * SETTING.maxLoad
const LOOK_MS = 100
const SOON_MS = 40_000

describe('a day with a peak that its node foresees', () => {
  let day: DayMesh
  const events: DayEvent[] = []
  let watch: DayWatch
  /** The time at which the load would be above the threshold if all of it stayed. */
  let peakMs = 0

  beforeAll(async () => {
    day = await startDayMesh({
      ...SETTING,
      nodes: NODES,
      pastDays: PAST_DAYS,
      startsAtMs: STARTS_AT_MS,
      isPaused: true
    })
    const { api, clock, pattern, midnightMs } = day
    watch = new DayWatch(api, clock.now(), event => events.push(event))
    peakMs = peakOf(midnightMs, THRESHOLD, timeMs => pattern.loadAt(timeMs)).fromMs
    await day.gate.json('balance', 'set', '--horizon', `${HORIZON_MINUTES}m`)
  })
  afterEach(({ task }) => {
    if (task.result?.state !== 'fail') return
    console.error(JSON.stringify(events, undefined, 1))
    day?.mesh.report()
  })
  afterAll(() => day?.close())

  const find = <I extends DayEvent['is']>(is: I) =>
    events.find((event): event is Extract<DayEvent, { is: I }> => event.is === is)
  /** Looks at the nodes until there was such an event. */
  const seen = <I extends DayEvent['is']>(is: I) => {
    const look = async () => {
      await watch.look()
      return find(is)
    }
    return until(`something is ${is}`, look, SOON_MS, LOOK_MS)
  }

  it('is foreseen and planned for, and while balancing is paused nothing moves', async () => {
    const foreseen = await seen('foreseen')
    expect(foreseen.node).toBe(day.home)
    expect(foreseen.excess.threshold).toBeCloseTo(THRESHOLD, 0)
    expect(foreseen.excess.highAtMs).toBeGreaterThan(foreseen.atMs)
    const { nodes } = await day.api.get<PlanDocument>('/v1/balance/plan')
    const plan = nodes.find(({ name }) => name === day.home)
    expect(plan).toMatchObject({ idle: 'paused', excess: { subject: 'node' } })
    expect((await day.api.get<ReceiptsDocument>('/v1/receipts')).receipts).toEqual([])
    expect([...(await chunksByNode(day.gate, VOLUME)).keys()]).toEqual([day.home])
    expect(day.clock.now(), 'there is time left before the peak').toBeLessThan(peakMs)
  })

  it('is met before it comes: offer, award, move, and then the load', async () => {
    await day.gate.json('balance', 'resume')
    const ended = await seen('ended')
    const { receipt } = ended
    expect(receipt).toMatchObject({ reason: 'predicted', state: 'done', sourceName: day.home })
    const { decidedAt, startedAt = 0, endedAt = 0, predicted } = receipt
    const offered = find('offered')
    const order = [find('foreseen')?.atMs ?? 0, decidedAt, startedAt, endedAt, peakMs]
    expect(order, 'foreseen, awarded, begun, ended, too much').toEqual(
      order.toSorted((a, b) => a - b)
    )
    if (offered !== undefined) expect(offered.atMs).toBeLessThanOrEqual(decidedAt)
    expect(predicted?.threshold).toBeCloseTo(THRESHOLD, 0)
    expect(predicted?.expectedAtMs ?? peakMs).toBeGreaterThan(decidedAt)
  })

  it('has its receipts at source and target, and is told in sentences', async () => {
    const receipt = find('ended')?.receipt
    expect(receipt).toBeDefined()
    const { id, sourceName, targetName } = receipt ?? ({} as ReceiptDocument)
    const detail = await day.gate.json<{ keptBy: string[] }>('explain', id)
    expect([...detail.keptBy].sort()).toEqual([sourceName, targetName].sort())
    const list = await day.gate.run('moves')
    expect(list.stdout).toContain(id)
    // What was foretold, and of which threshold.
    expect(list.stdout).toMatch(/\d+ > 640/)
    const told = await day.gate.run('explain', id)
    expect(told.code).toBe(0)
    for (const word of [sourceName, targetName, VOLUME]) expect(told.stdout).toContain(word)
  })

  it('leaves the data of the VM as it was written last', async () => {
    await day.vm.stop()
    expect(await day.vm.check()).toBe(0)
    const homes = await chunksByNode(day.gate, VOLUME)
    expect([...homes.values()].reduce((sum, chunks) => sum + chunks, 0)).toBe(16)
    expect(homes.size).toBeGreaterThan(1)
  })
})
