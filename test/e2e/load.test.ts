// Goal: what is promised of load, as a person at a shell has it: a volume with a past is forecast at
// once, what a client does is seen on every node within seconds and kept, and neither kill -9 nor a
// move loses any of it.
// Method: real daemons, a real NBD client at a known rate, and a made week of history whose next
// hours are known: the load rises by four fifths within six hours, so neither the last value nor a
// mean passes for a forecast. A volume that nobody uses after that is known to be idle from the next
// step of five minutes on; from then on only its past is compared. The clock of load goes four times
// as fast as time, so that minutes are over soon, and begins with a step. What people read and write
// is asked of the CLI, figures of the API.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import type {
  ForecastDocument,
  ImportDocument,
  NodeLoadDocument,
  PatternDocument,
  TopDocument
} from '../../node/control/load-documents.ts'
import type { Clock } from '../../node/ports.ts'
import { scaledClock } from '../../node/scaled-clock.ts'
import { loadOf, together } from '../../protocols/load/record.ts'
import { DEMO_NODE } from '../support/day-mesh.ts'
import { ask } from '../support/process-control.ts'
import { DailyLoad, exported, totals } from '../support/process-load.ts'
import {
  ProcessMesh,
  type ProcessNode,
  THREE_AND_GATEWAY,
  type UpOptions
} from '../support/process-mesh.ts'
import { chunksByNode, moveDone, startMove } from '../support/process-moves.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { seedOfRun } from '../support/process-random.ts'
import { freePort, until } from '../support/process-spawn.ts'
import { SteadyClient } from '../support/process-steady.ts'

const seed = seedOfRun()
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const STEP_MS = 5 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** Of the clock of load. */
const RATE = 4
/** No daylight saving: the pattern of the day stays where it is. */
const ZONE = 'Asia/Tokyo'
const ZONE_MS = 9 * HOUR_MS
const MEAN = 400
const READS = 120
const WRITES = 60
const RATE_BYTES = 8192

describe('load', () => {
  let daily: DailyLoad
  let clock: Clock
  let up: UpOptions
  let mesh: ProcessMesh
  let gate: ProcessNode
  let client: SteadyClient | undefined
  let usedFromMs = 0

  beforeAll(async () => {
    const plans = THREE_AND_GATEWAY.map(async plan => ({ ...plan, port: await freePort() }))
    mesh = await ProcessMesh.prepare(await Promise.all(plans))
    const fromMs = Date.now()
    const startMs = Math.floor(fromMs / STEP_MS) * STEP_MS
    clock = scaledClock({ rate: RATE, fromMs, startMs }, systemClock)
    daily = new DailyLoad(startMs, MEAN)
    const args = ['--rate', `${RATE}`, '--from', `${fromMs}`, '--start', `${startMs}`]
    up = { program: [DEMO_NODE], args, env: { TZ: 'UTC' } }
    await Promise.all(mesh.nodes.map(node => node.up(up)))
    await mesh.converged()
    gate = mesh.node('gate')
    const uri = await mesh.volume(gate, 'busy', '--size', '256M', '--shards', '2')
    client = new SteadyClient(await connectDisk(uri), {
      readsPerSecond: READS,
      writesPerSecond: WRITES,
      sizeBytes: RATE_BYTES,
      seed
    })
    usedFromMs = clock.now()
  })
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') mesh?.report()
  })
  afterAll(async () => {
    await client?.stop().catch(() => {})
    await mesh?.close()
  })

  it('a volume with an imported week is forecast at once, as a whole, by shard and by node', async () => {
    const csv = join(mesh.dir, 'web.csv')
    daily.writeCsv(csv, { volume: 'web', days: 7, seed })
    await gate.json('volume', 'create', 'web', '--size', '256M', '--shards', '2', '--zone', ZONE)
    const { volumes } = await gate.json<ImportDocument>('load', 'import', csv)
    const [imported] = volumes
    expect(imported).toMatchObject({ volume: 'web', rows: 2016, taken: 2016 })

    const [home] = await holders(gate, 'web')
    const whole = await forecastOf(gate, 'web')
    expectDaily(whole, 1)
    expect(whole).toMatchObject({ kind: 'volume', zone: ZONE, patterns: [] })
    // The first question in this mesh about a shard that nobody has used.
    const shard = await forecastOf(mesh.node('north'), `web@${home}`)
    expectDaily(shard, 0.5)
    expect(shard).toMatchObject({ kind: 'shard', zone: ZONE })
    // Beside it the node has whatever 'busy' asks of it.
    const node = await forecastOf(gate, `node:${home}`)
    expectSound(node, 72)
    expect(node.kind).toBe('node')
    expect(node.historyDays).toBeCloseTo(7, 1)
    for (const [timeMs, load] of pastSteps(node)) expectNear(load, 0.5, timeMs, 0.08)
    const [whole6, whole1] = await Promise.all([
      gate.json<ForecastDocument>('forecast', 'web'),
      gate.json<ForecastDocument>('forecast', 'web', '--horizon', '1h')
    ])
    expect([whole6.path.length, whole1.path.length]).toEqual([12 * 6, 12])

    const shown = await gate.run('forecast', 'web', '--horizon', '6h')
    expect(shown.code).toBe(0)
    expect(shown.stdout).toContain('web (volume), load in units per second')
    expect(shown.stdout).toContain(ZONE)
    expect(shown.stdout).toContain('rests on 7 days of history')
    // Past and future, and both bands.
    expect(shown.stdout.split('\n').filter(line => line.includes('│')).length).toBeGreaterThan(5)
  })

  it('history that was imported is not imported again, and what was measured stays', async () => {
    const csv = join(mesh.dir, 'web.csv')
    // Minutes in which nobody used it come on top, all the time.
    const imported = async () => {
      const rows = await exported(gate, 'web', daily.originMs - 7 * DAY_MS)
      return totals(rows.filter(({ timeMs }) => timeMs < daily.originMs))
    }
    const before = await imported()
    expect(before.size).toBeGreaterThan(10_000)
    const { volumes } = await gate.json<ImportDocument>('load', 'import', csv)
    expect(volumes[0]).toMatchObject({ rows: 2016, taken: 0 })
    expect(await imported()).toEqual(before)
  })

  it('an export of a volume with two shards is the history of another one', async () => {
    const file = join(mesh.dir, 'export.csv')
    await gate.json(
      'load',
      'export',
      '--volume',
      'web',
      '--since',
      '8d',
      '--step',
      '1m',
      '--out',
      file
    )
    await gate.json('volume', 'create', 'copy', '--size', '256M', '--shards', '3', '--zone', ZONE)
    const { volumes } = await gate.json<ImportDocument>('load', 'import', file, '--volume', 'copy')
    expect(volumes[0]?.taken).toBe(volumes[0]?.rows)
    expectDaily(await forecastOf(gate, 'copy'), 1)
    await gate.json('volume', 'delete', 'copy', '--yes')
  })

  it('a declared pattern raises the forecast while it lasts, and is shown', async () => {
    const before = await forecastOf(gate, 'web')
    const startMs = Math.ceil(before.at / HOUR_MS + 1) * HOUR_MS
    const at = new Date(startMs + ZONE_MS).toISOString().slice(11, 16)
    const pattern = await gate.json<PatternDocument>(
      ...['pattern', 'add', 'web', `daily ${at}`, '--for', '60m', '--iops', '+3000']
    )
    expect(pattern).toMatchObject({ zone: ZONE, minutes: 60, iops: 3000 })
    const after = await forecastOf(gate, 'web')
    expect(after.patterns).toEqual([`daily ${at} for 60 min, +3000 IOPS`])
    expectSound(after, 72)
    for (const [timeMs, load] of steps(after)) {
      const isInside = timeMs >= startMs && timeMs < startMs + HOUR_MS
      if (isInside) expect(load, `at ${new Date(timeMs).toISOString()}`).toBeGreaterThan(2500)
      else expect(load, `at ${new Date(timeMs).toISOString()}`).toBeLessThan(1500)
    }
    const shown = await gate.run('forecast', 'web', '--horizon', '6h')
    expect(shown.stdout).toContain(`declared patterns: daily ${at}`)
    // Its shards hear of it as soon as the map does.
    const [home] = await holders(gate, 'web')
    await until(
      'the shard counts on its part of the pattern',
      async () => {
        const { path } = await forecastOf(gate, `web@${home}`)
        return Math.max(...path) > 1250 && Math.max(...path) < 2500
      },
      30_000,
      500
    )
    await gate.json('pattern', 'remove', 'web', 'all')
    expect((await forecastOf(gate, 'web')).patterns).toEqual([])
  })

  it('who asks for what is not there is told so, and a bad file changes nothing', async () => {
    const bad = join(mesh.dir, 'bad.csv')
    const rows = ['time,volume,reads,writes', '2026-01-01T00:00:00Z,busy,1,1']
    const before = totals(await exported(gate, 'busy', clock.now() - 30 * DAY_MS, '1h'))
    const recent = new Date(clock.now() - 2 * HOUR_MS).toISOString().slice(0, 17)
    const files = [
      [`${recent}00Z,busy,-4,1`, /line 3: reads/],
      [`${recent}00Z,busy,4`, /line 3: 3 fields/],
      ['2025-12-31T23:00:00Z,busy,1,1', /line 3: it is not later/],
      [`${recent}00Z,nobody,1,1`, /nobody/]
    ] as const
    for (const [line, words] of files) {
      writeFileSync(bad, [...rows, line].join('\n'))
      const refused = await gate.run('load', 'import', bad)
      expect(refused.code, line).not.toBe(0)
      expect(refused.stderr).toMatch(words)
    }
    const after = totals(await exported(gate, 'busy', clock.now() - 30 * DAY_MS, '1h'))
    // The hour under way goes on meanwhile; that of its first minutes says little of it.
    expect([...after.keys()]).toEqual(expect.arrayContaining([...before.keys()]))
    expect([...after.keys()].filter(timeMs => timeMs < clock.now() - HOUR_MS * 1.5)).toEqual([])
    const questions = [
      [['forecast'], /subject/],
      [['forecast', 'nobody'], /nobody/],
      [['forecast', 'web@nobody'], /nobody/],
      [['forecast', 'web@gate'], /holds nothing/],
      [['forecast', 'web', '--horizon', '3d'], /horizon/],
      [['forecast', 'web', '--horizon', '0m'], /horizon/],
      [['load', 'import', join(mesh.dir, 'none.csv')], /none.csv/]
    ] as const
    const answers = await Promise.all(questions.map(([words]) => gate.run(...words)))
    for (const [i, [words, pattern]] of questions.entries()) {
      const refused = answers[i]
      expect(refused?.code, words.join(' ')).not.toBe(0)
      expect(refused?.stderr, words.join(' ')).toMatch(pattern)
    }
  })

  it('what a client does is seen from every node, by the second and by the minute', async () => {
    const seesLoad = async (node: ProcessNode): Promise<void> => {
      const top = await until(`${node.name} sees the load`, async () => {
        const seen = await topAt(node)
        const volume = seen.volumes.find(({ volume: name }) => name === 'busy')
        return near(volume?.reads, READS) && near(volume?.writes, WRITES) ? seen : undefined
      })
      expect(top.silent).toEqual([])
      expect(top.nodes.map(({ node: name, from }) => `${name} ${from}`).sort()).toEqual(
        mesh.nodes.map(({ name }) => `${name} answer`).sort()
      )
      for (const shard of top.shards.filter(({ volume }) => volume === 'busy')) {
        expect(shard.p50Us).toBeGreaterThan(0)
        expect(shard.p99Us).toBeGreaterThanOrEqual(shard.p50Us)
        expect(shard.queue).toBeGreaterThan(0)
        expect(shard.readBytes / shard.reads).toBeLessThanOrEqual(RATE_BYTES)
      }
    }
    await Promise.all(mesh.nodes.map(seesLoad))
    const shown = await gate.run('top', '--once')
    expect(shown.stdout).toMatch(/NODE .*IOPS/)
    expect(shown.stdout).toMatch(/\bbusy@/)

    const minutes = await until(
      'a whole minute of it is kept',
      async () => {
        const rows = await exported(gate, 'busy', clock.now() - 10 * MINUTE_MS)
        // The minute of the start is the mean of what was measured of it.
        const whole = [...totals(rows)].find(
          ([timeMs, load]) => timeMs >= usedFromMs && near(load, unitsPerSecond())
        )
        return whole === undefined ? undefined : { rows, whole: whole[0] }
      },
      150_000,
      1000
    )
    const ofMinute = minutes.rows.filter(({ timeMs }) => timeMs === minutes.whole)
    expect(ofMinute.map(({ node }) => node).sort()).toEqual(await holders(gate, 'busy'))
    const record = together(ofMinute.map(row => row.record))
    expect(near(record.reads, READS) && near(record.writes, WRITES)).toBe(true)
    for (const row of ofMinute) expect(row.record.p99Us).toBeGreaterThan(0)
    const bySecond = await exported(gate, 'busy', clock.now() - 15 * MINUTE_MS, '1s')
    const seconds = [...totals(bySecond)].filter(
      ([timeMs]) => timeMs >= minutes.whole && timeMs < minutes.whole + MINUTE_MS
    )
    expect(seconds.length).toBe(60)
    const mean = seconds.reduce((sum, [, load]) => sum + load, 0) / 60
    expect(mean / loadOf(record)).toBeGreaterThan(0.9)
    expect(mean / loadOf(record)).toBeLessThan(1.1)
  })

  it('every node knows every other by gossip, and what a silent one said last', async () => {
    const hasHeardAll = (node: ProcessNode) =>
      until(
        `${node.name} has heard a sample of every other node`,
        async () => {
          const { nodes } = await ask<{
            nodes: Array<{ name: string; sampleAgeMs?: number }>
          }>(node.dir, 'GET', '/v1/status')
          const others = nodes.filter(({ name }) => name !== node.name)
          return (
            others.length === 3 && others.every(({ sampleAgeMs = 1e9 }) => sampleAgeMs < 150_000)
          )
        },
        60_000,
        500
      )
    await Promise.all(mesh.nodes.map(hasHeardAll))
    const [home = ''] = await holders(gate, 'busy')
    const silent = mesh.node(home)
    await silent.freeze()
    try {
      const others = mesh.nodes.filter(one => one !== silent)
      for (const top of await Promise.all(others.map(topAt))) {
        expect(top.silent).toEqual([home])
        const said = top.nodes.find(({ node: name }) => name === home)
        expect(said?.from).toBe('gossip')
        expect(said?.ageMs).toBeGreaterThan(0)
        expect(said?.ageMs).toBeLessThan(300_000)
        expect(said?.load).toBeGreaterThan(0)
      }
    } finally {
      silent.thaw()
    }
    await until('it answers again', async () => (await topAt(gate)).silent.length === 0)
  })

  it('a storage node killed and restarted has every minute it had, and foretells again', async () => {
    const [home = ''] = await holders(gate, 'web', 'busy')
    const node = mesh.node(home)
    const own = async (volume: string) =>
      (await exported(gate, volume, clock.now() - 8 * DAY_MS)).filter(row => row.node === home)
    const before = { web: await own('web'), busy: await own('busy') }
    expect(before.web.length).toBeGreaterThan(10_000)
    expect(before.busy.length).toBeGreaterThan(0)
    await node.kill()
    await node.up(up)
    await mesh.converged([node, gate])
    await until('its past is read', async () => {
      const seen = (await topAt(node)).nodes.find(({ isSelf }) => isSelf)
      return seen !== undefined && isForetold(seen) && seen.warming === undefined
    })
    for (const volume of ['web', 'busy'] as const) {
      const after = new Map((await own(volume)).map(row => [row.timeMs, row]))
      const lost = before[volume].filter(row => {
        return JSON.stringify(after.get(row.timeMs)) !== JSON.stringify(row)
      })
      // What is not durable yet may go: the last minute, and nothing else.
      expect(lost.filter(row => row !== before[volume].at(-1))).toEqual([])
    }
    const shard = await forecastOf(gate, `web@${home}`)
    expectDaily(shard, 0.5)
  })

  it('a shard that moves takes its history along, and nothing of it twice', async () => {
    const [from = ''] = await holders(gate, 'web')
    const taken = await holders(gate, 'web')
    const to = ['west', 'north', 'east'].find(name => !taken.includes(name)) ?? ''
    const before = totals(await exported(gate, 'web', clock.now() - 8 * DAY_MS))
    const nodeBefore = await forecastOf(gate, `node:${to}`, 1)
    await moveDone(gate, await startMove(gate, 'web', from, to))
    // It follows in pieces, one after the other: what is on its way is in neither place.
    const sum = (loads: ReadonlyMap<number, number>) =>
      [...loads.values()].reduce((a, b) => a + b, 0)
    await until(`web@${to} has all of its history`, async () => {
      const now = totals(await exported(gate, 'web', clock.now() - 8 * DAY_MS))
      return Math.abs(sum(now) / sum(before) - 1) < 0.005
    })
    expectDaily(await forecastOf(gate, `web@${to}`), 0.5)
    const gone = await gate.run('forecast', `web@${from}`)
    expect(gone.code).not.toBe(0)
    expect(gone.stderr).toMatch(/holds nothing/)
    const after = totals(await exported(gate, 'web', clock.now() - 8 * DAY_MS))
    for (const [timeMs, load] of before) {
      const now = after.get(timeMs) ?? 0
      if (Math.abs(now - load) <= 0.02 * load) continue
      expect.fail(`${new Date(timeMs).toISOString()}: ${load} before the move, ${now} after it`)
    }
    // The past of the node that it came to is that of what it holds now.
    const had = new Map(pastSteps(nodeBefore))
    const nodeAfter = await forecastOf(gate, `node:${to}`, 1)
    for (const [timeMs, load] of pastSteps(nodeAfter)) {
      expectNear(load - (had.get(timeMs) || 0), 0.5, timeMs, 0.08)
    }
    expectDaily(await forecastOf(gate, 'web'), 1)
  })

  /** Its past is the known day, of which this is a part, and so is what it expects. */
  function expectDaily(forecast: ForecastDocument, part: number): void {
    expectSound(forecast, 72)
    expect(forecast.historyDays).toBeGreaterThan(6.9)
    expect(forecast.historyDays).toBeLessThan(7.2)
    const past = pastSteps(forecast)
    expect(past.length).toBeGreaterThan(280)
    for (const [timeMs, load] of past) expectNear(load, part, timeMs, 0.08)
    // A step that has ended since then was measured: nobody used it, and that counts.
    if (forecast.at !== daily.originMs) return
    for (const [timeMs, load] of steps(forecast)) expectNear(load, part, timeMs, 0.2)
  }

  function expectNear(load: number, part: number, timeMs: number, within: number): void {
    const known = part * daily.at(timeMs + STEP_MS / 2)
    expect(Math.abs(load / known - 1), `${load} where ${known} is known`).toBeLessThan(within)
  }

  /** What was imported of the last day, by the beginning of each step. */
  function pastSteps({ at, history }: ForecastDocument): Array<[number, number]> {
    const { loads, stepMs } = history
    return loads
      .map((load, i): [number, number] => [at - (loads.length - i) * stepMs, load ?? Number.NaN])
      .filter(([timeMs]) => timeMs < daily.originMs)
  }
})

function topAt(node: ProcessNode): Promise<TopDocument> {
  return ask<TopDocument>(node.dir, 'GET', '/v1/load')
}

function forecastOf(node: ProcessNode, subject: string, hours = 6): Promise<ForecastDocument> {
  const query = new URLSearchParams({ subject, horizonMinutes: String(60 * hours) })
  return ask<ForecastDocument>(node.dir, 'GET', `/v1/load/forecast?${query}`)
}

/** Names of the nodes that hold chunks of all of these volumes, in order. */
async function holders(at: ProcessNode, ...volumes: string[]): Promise<string[]> {
  const homes = await Promise.all(volumes.map(volume => chunksByNode(at, volume)))
  const all = ['east', 'north', 'west']
  return all.filter(name => homes.every(home => (home.get(name) ?? 0) > 0))
}

/** By the beginning of each step. */
function steps({ at, stepMs, path }: ForecastDocument): Array<[number, number]> {
  return path.map((load, i) => [at + i * stepMs, load])
}

function expectSound({ path, bands, skill }: ForecastDocument, length: number): void {
  const { q50, q90, q95 } = bands
  for (const line of [path, q50, q90, q95]) expect(line.length).toBe(length)
  for (let i = 0; i < length; i++) {
    const [low = Number.NaN, high = Number.NaN, highest = Number.NaN] = [q50[i], q90[i], q95[i]]
    expect([path[i], low, high, highest].every(Number.isFinite)).toBe(true)
    expect(low).toBeGreaterThanOrEqual(0)
    expect(high).toBeGreaterThanOrEqual(low)
    expect(highest).toBeGreaterThanOrEqual(high)
  }
  expect(skill).toBeLessThanOrEqual(1)
}

function isForetold({ ahead }: NodeLoadDocument): boolean {
  return ahead?.length === 2 && ahead.every(({ q50, q90, q95 }) => q50 <= q90 && q90 <= q95)
}

/** What the client asks for, as load. */
function unitsPerSecond(): number {
  const [reads, writes] = [READS, WRITES]
  return loadOf({ reads, writes, readBytes: reads * RATE_BYTES, writtenBytes: writes * RATE_BYTES })
}

/** A machine that does much else at once may keep a client from its rate. */
function near(value: number | undefined, wanted: number): boolean {
  return value !== undefined && value > 0.6 * wanted && value < 1.5 * wanted
}
