// Goal: a node that has seen a week of days moves data before the afternoon that would overload it,
// by its own decision; it does nothing while people paused it; and everybody can read why it did.
// Method: real daemons, real I/O, and a clock of load that makes a day of two minutes. A volume with
// seven imported days is on one of three nodes, each limited to less than its afternoon needs. What
// is asserted is the order of events by the clock of load, and what people are shown; no duration.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { peakOf } from '../../cli/day-run.ts'
import { DEMO_DAY, PAST_DAYS, THRESHOLD_PART } from '../../cli/day-setting.ts'
import { type DayEvent, DayWatch, type NodeSeen } from '../../cli/day-watch.ts'
import type {
  PlanDocument,
  ReceiptDocument,
  ReceiptsDocument
} from '../../node/control/balance-documents.ts'
import { type DayMesh, startDayMesh, VOLUME } from '../support/day-mesh.ts'
import { chunksByNode } from '../support/process-moves.ts'
import { seedOfRun } from '../support/process-random.ts'
import { until } from '../support/process-spawn.ts'

const seed = seedOfRun()
const HOUR_MS = 3_600_000
/** Time for the import, before the load rises. */
const STARTS_AT_MS = 9 * HOUR_MS
/** Foreseen so early that a machine with other work still has time for the move. */
const HORIZON_MINUTES = 180
const THRESHOLD = THRESHOLD_PART * DEMO_DAY.maxLoad
const LOOK_MS = 100
const SOON_MS = 40_000

describe('a day with a peak that its node foresees', () => {
  let day: DayMesh
  const events: DayEvent[] = []
  let watch: DayWatch
  /** The time at which the load would be above the threshold if all of it stayed. */
  let peakMs = 0
  let isTooMuch = false

  beforeAll(async () => {
    day = await startDayMesh({
      ...DEMO_DAY,
      seed,
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

  /** Looks at the nodes until `isReached`, and at their loads each time. */
  function seen<T>(what: string, isReached: (nodes: readonly NodeSeen[]) => T | undefined) {
    const look = async () => {
      const nodes = await watch.look()
      if (day.clock.now() < peakMs && nodes.some(({ isOver }) => isOver)) isTooMuch = true
      return isReached(nodes)
    }
    return until(what, look, SOON_MS, LOOK_MS)
  }
  const find = <I extends DayEvent['is']>(is: I) =>
    events.find((event): event is Extract<DayEvent, { is: I }> => event.is === is)

  it('is foreseen and planned for, and while balancing is paused nothing moves', async () => {
    const foreseen = await seen('the overload is foreseen', () => find('foreseen'))
    expect(foreseen.node).toBe(day.home)
    expect(foreseen.excess.threshold).toBeCloseTo(THRESHOLD, 0)
    expect(foreseen.excess.highAtMs).toBeGreaterThan(foreseen.atMs)
    const { nodes } = await day.api.get<PlanDocument>('/v1/balance/plan')
    const wants = nodes.find(({ name }) => name === day.home)?.wants ?? []
    expect(wants[0]?.want).toMatchObject({ reason: 'predicted' })
    expect(wants[0]?.volumeName).toBe(VOLUME)
    expect((await day.api.get<ReceiptsDocument>('/v1/receipts')).receipts).toEqual([])
    expect([...(await chunksByNode(day.gate, VOLUME)).keys()]).toEqual([day.home])
    expect(day.clock.now(), 'there is time left before the peak').toBeLessThan(peakMs)
  })

  it('is met before it comes: offer, award, move, and then the load', async () => {
    await day.gate.json('balance', 'resume')
    const ended = await seen('data has moved', () => find('ended'))
    const { receipt } = ended
    expect(receipt).toMatchObject({ reason: 'predicted', state: 'done', sourceName: day.home })
    const { decidedAt, startedAt = 0, endedAt = 0, predicted } = receipt
    const offered = find('offered')
    const order = [find('foreseen')?.atMs ?? 0, decidedAt, startedAt, endedAt, peakMs]
    expect(order, 'foreseen, awarded, begun, ended, too much').toEqual(
      order.toSorted((a, b) => a - b)
    )
    if (offered !== undefined) expect(offered.atMs).toBeLessThanOrEqual(decidedAt)
    expect(isTooMuch, 'the load crossed the threshold before').toBe(false)
    expect(predicted?.threshold).toBeCloseTo(THRESHOLD, 0)
    expect(predicted?.highAtMs).toBeGreaterThan(decidedAt)
  })

  it('has its receipts at source and target, and is told in sentences', async () => {
    const receipt = find('ended')?.receipt
    expect(receipt).toBeDefined()
    const { id, sourceName, targetName } = receipt ?? ({} as ReceiptDocument)
    const detail = await day.gate.json<{ keptBy: string[] }>('explain', id)
    expect([...detail.keptBy].sort()).toEqual([sourceName, targetName].sort())
    const list = await day.gate.run('moves')
    expect(list.stdout).toContain(id)
    expect(list.stdout).toMatch(/predicted/)
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
