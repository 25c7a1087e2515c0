// Goal: what the commands say of load is what the nodes know: history goes in once, by the part that
// each shard holds, and comes out the same; forecasts and tables name whoever is missing.
// Method: the real commands over a real control socket, on a mesh in memory with a real load service
// on every node.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ForecastDocument, ImportDocument } from '../../node/control/load-documents.ts'
import { reportOf } from '../../node/load/report.ts'
import { encodeCbor } from '../../protocols/cbor.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { GiB, MAX_CONTROL_MESSAGE_BYTES } from '../../protocols/limits.ts'
import { LoadCsvReader } from '../../protocols/load/csv.ts'
import { formatIsoTime } from '../../protocols/load/iso-time.ts'
import { MAX_REPORT_SHARDS } from '../../protocols/load/limits.ts'
import {
  LOAD_PROTOCOL,
  type LoadRequest,
  loadAnswerSchema,
  reportSchema
} from '../../protocols/load/messages.ts'
import { IDLE, loadOf } from '../../protocols/load/record.ts'
import { encodeRows, MAX_ROWS } from '../../protocols/load/rows.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { type Run, Terminal } from '../support/cli-terminal.ts'
import { volumeId } from '../support/shard-harness.ts'

const MINUTE_MS = 60_000
const DAY_MS = 1440 * MINUTE_MS
const HOLDERS = 2

let mesh: CliMesh & { gate: CliNode }
let terminal: Terminal
let scratch: string
let endMs: number

const shoal = (...words: string[]): Promise<Run> => terminal.run(words)
const storage = () => [...mesh.nodes.values()].filter(node => node.store !== undefined)

async function create(name: string): Promise<{ id: VolumeId; holders: CliNode[] }> {
  const { id, nodes } = await mesh.gate.volumes.create({ name, sizeBytes: GiB, shards: HOLDERS })
  const holders = storage().filter(node => nodes.includes(node.id))
  await until(() => holders.every(node => node.context.map.volume(id) !== undefined))
  await until(() => mesh.gate.context.map.volume(id) !== undefined)
  return { id, holders }
}

/** Requests per second in a minute: a day's wave, exact in every precision that is used. */
function readsAt(minute: number): number {
  return 256 + 64 * Math.round(2 * Math.sin((minute / 1440) * 2 * Math.PI))
}

function csv(volume: string, fromMs: number, stepMinutes: number, rows: number): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const timeMs = fromMs + i * stepMinutes * MINUTE_MS
    const reads = readsAt(Math.floor(timeMs / MINUTE_MS))
    return `${formatIsoTime(timeMs)},${volume},${reads},32,${reads * 4096},0`
  })
  return `time,volume,reads,writes,read_bytes,written_bytes\n${lines.join('\n')}\n`
}

function file(text: string): string {
  const path = join(scratch, 'load.csv')
  writeFileSync(path, text)
  return path
}

async function imported(text: string, ...more: string[]): Promise<ImportDocument['volumes']> {
  const { code, out, err } = await shoal('load', 'import', file(text), '--json', ...more)
  if (code !== 0) throw new Error(err)
  const { volumes }: ImportDocument = JSON.parse(out)
  return volumes
}

/** Loads by minute, summed over the shards, without the minutes that the mesh itself lives through. */
async function exported(volume: string, days = 9): Promise<Map<number, number>> {
  const path = join(scratch, 'out.csv')
  const words = ['load', 'export', '--volume', volume, '--since', `${days}d`, '--out', path]
  const { code, err } = await shoal(...words, '--step', '1m')
  if (code !== 0) throw new Error(err)
  const sums = new Map<number, number>()
  const reader = new LoadCsvReader()
  for (const line of [...reader.push(readFileSync(path)), ...reader.end()]) {
    if ('refused' in line) throw new Error(line.refused)
    const { timeMs, record } = line.row
    const minute = timeMs / MINUTE_MS
    if (timeMs >= endMs) continue
    sums.set(minute, (sums.get(minute) ?? 0) + loadOf(record))
  }
  return sums
}

async function forecast(subject: string, ...more: string[]): Promise<ForecastDocument> {
  const { code, out, err } = await shoal('forecast', subject, '--json', ...more)
  if (code !== 0) throw new Error(err)
  const document: ForecastDocument = JSON.parse(out)
  return document
}

beforeAll(async () => {
  mesh = await smallMesh()
  terminal = await Terminal.open(mesh.gate)
  scratch = mkdtempSync(join(tmpdir(), 'shoal-load-mesh-'))
  endMs = Math.floor(Date.now() / 3_600_000) * 3_600_000
})
afterAll(async () => {
  await terminal.close()
  await mesh.close()
  rmSync(scratch, { recursive: true })
})

describe('history that is imported', () => {
  it.each([
    ['five minutes', 'five', 5, 2016],
    ['an hour', 'hourly', 60, 168]
  ])('in rows of %s comes out again per minute, once', async (_, name, step, rows) => {
    const { holders } = await create(name)
    const fromMs = endMs - 7 * DAY_MS
    const text = csv(name, fromMs, step, rows)
    const to = fromMs + (rows - 1) * step * MINUTE_MS
    expect(await imported(text)).toEqual([{ volume: name, rows, taken: rows, from: fromMs, to }])
    const found = await exported(name)
    expect(found.size).toBe(7 * 1440)
    for (const [minute, load] of found) {
      const reads = readsAt(Math.floor(minute / step) * step)
      const wanted = reads + 32 + (reads * 4096) / 32768
      expect(Math.abs(load - wanted)).toBeLessThan(wanted / 1000)
    }
    const again = await imported(text)
    expect(again).toMatchObject([{ rows, taken: 0, why: expect.stringMatching(/known already/) }])
    const { out } = await shoal('load', 'import', file(text))
    expect(out).toMatch(new RegExp(`${name} +0 +${rows} `))
    expect(await exported(name)).toEqual(found)
    // Each shard has the part of it that it holds of the chunks.
    const chunks = holders.map(({ store }) => chunksIn(store?.shards() ?? [], name))
    const all = chunks.reduce((sum, count) => sum + count, 0)
    const minute = Math.floor(fromMs / MINUTE_MS)
    for (const [i, node] of holders.entries()) {
      const load = await minuteAt(node, name, minute)
      const part = (chunks[i] ?? 0) / all
      expect(load).toBeCloseTo(part * (found.get(minute) ?? 0), 0)
    }
  })

  function chunksIn(heads: ReturnType<NonNullable<CliNode['store']>['shards']>, name: string) {
    const id = mesh.gate.context.map.resolve(name)
    const runs = heads.find(head => head.spec.id === id)?.runs ?? []
    return runs.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  async function minuteAt({ context }: CliNode, name: string, slot: number): Promise<number> {
    const key = mesh.gate.context.map.resolve(name)
    const range = { key, step: 'minute', from: slot, to: slot + 1 } as const
    const { rows } = await context.load.ask({ ask: 'rows', ...range })
    return loadOf(rows[0]?.record ?? IDLE)
  }

  it('is foretold for the volume about as the sum of its shards', async () => {
    const { holders } = await create('sum')
    await imported(csv('sum', endMs - 7 * DAY_MS, 5, 2016))
    const whole = await forecast('sum', '--horizon', '2h')
    expect(whole).toMatchObject({ kind: 'volume', zone: 'UTC' })
    expect(whole.path).toHaveLength(24)
    expect(whole.historyDays).toBeGreaterThan(6)
    const parts = await Promise.all(
      holders.map(({ name }) => forecast(`sum@${name}`, '--horizon', '2h'))
    )
    expect(parts.map(part => part.kind)).toEqual(['shard', 'shard'])
    for (const [i, load] of whole.path.entries()) {
      const sum = parts.reduce((total, { path }) => total + (path[i] ?? 0), 0)
      // An idle minute of the mesh itself may be the newest: it counts in both.
      expect(Math.abs(sum - load)).toBeLessThan(40)
      expect(load).toBeGreaterThan(40)
    }
    const node = await forecast(`node:${holders[0]?.name}`, '--horizon', '5m')
    expect(node.kind).toBe('node')
    expect(node.path).toHaveLength(1)
  })

  it('is refused at the line that is wrong, by which what came before is in', async () => {
    await create('cut')
    await create('cut-after')
    const good = csv('cut', endMs - 2 * DAY_MS, 1, 100)
    const bad = `${good}${formatIsoTime(endMs)},cut,minus one,0,0,0\n`
    const checked = await shoal('load', 'import', file(bad))
    expect(checked).toMatchObject({ code: 2, out: '' })
    expect(checked.err).toMatch(/line 102/)
    // Straight to the daemon, which reads the rest before it answers.
    const post = (body: string) =>
      mesh.gate.app.request('/v1/load/import', { method: 'POST', body: Buffer.from(body) })
    const refused = await post(bad)
    expect(refused.status).toBe(400)
    expect(await refused.text()).toMatch(/line 102/)
    expect((await exported('cut')).size).toBe(0)
    // More than one batch before the bad line: that much is in, and said nowhere else.
    const long = csv('cut-after', endMs - 14 * DAY_MS, 60, 24 * 12 + 72)
    const late = await post(`${long}oops\n`)
    expect(late.status).toBe(400)
    expect(await late.text()).toMatch(/line 362: 1 field/)
    const kept = (await exported('cut-after', 14)).size
    expect(kept).toBeGreaterThan(14 * 1000)
    expect(kept).toBeLessThan(15 * 1440)
  })

  it('is refused as a whole body, to its end, when its volume is not there', async () => {
    let read = 0
    const line = Buffer.from(`${formatIsoTime(endMs)},nobody,1,1,0,0\n`)
    const head = Buffer.from('time,volume,reads,writes,read_bytes,written_bytes\n')
    const body = new ReadableStream<Uint8Array>({
      pull: controller => {
        if (read === 200) return controller.close()
        controller.enqueue(read++ === 0 ? head : line)
      }
    })
    const init = { method: 'POST', body, duplex: 'half' } as const
    const answer = await mesh.gate.app.request('/v1/load/import', init)
    expect(answer.status).toBe(404)
    expect(read).toBe(200)
  })

  it('is refused while a shard does not answer: the others are not given its part', async () => {
    const { holders } = await create('partial')
    const [away] = holders
    if (away === undefined) throw new Error('it has holders')
    const before = await exported('partial')
    mesh.network.cut(mesh.gate.id, away.id)
    const text = csv('partial', endMs - DAY_MS, 5, 10)
    const { code, err } = await shoal('load', 'import', file(text))
    mesh.network.heal(mesh.gate.id, away.id)
    expect(code).not.toBe(0)
    expect(err).toContain(away.name)
    expect(await exported('partial')).toEqual(before)
    expect(await imported(text)).toMatchObject([{ taken: 10 }])
  })
})

describe('a forecast', () => {
  it('names what it cannot foretell, and why', async () => {
    await create('west')
    expect((await shoal('forecast', 'west')).err).toMatch(/say volume:west or node:west/)
    expect((await shoal('forecast', 'nobody')).err).toMatch(/no volume and no node "nobody"/)
    expect((await shoal('forecast', 'volume:west')).err).toMatch(/nothing was measured of it yet/)
    const app = (query: string) => mesh.gate.app.request(`/v1/load/forecast?${query}`)
    for (const horizonMinutes of ['4', '1441', 'x', '']) {
      const query = `subject=west&horizonMinutes=${horizonMinutes}`
      expect((await app(query)).status).toBe(400)
    }
    expect((await shoal('forecast', 'west', '--horizon', '25h')).code).toBe(2)
    expect((await app('subject=node:gate')).status).toBe(409)
    expect((await app('subject=west@nobody')).status).toBe(404)
    const elsewhere = storage().find(({ store }) => !store?.shards().some(isNamed('west')))
    const missing = await shoal('forecast', `west@${elsewhere?.name}`)
    expect(missing.err).toMatch(/holds nothing of this volume/)
  })

  function isNamed(name: string) {
    const id = mesh.gate.context.map.resolve(name)
    return (head: { spec: { id: VolumeId } }) => head.spec.id === id
  }

  it('of a volume is none without all of its shards, and names the node that is away', async () => {
    const { holders } = await create('lonely')
    await imported(csv('lonely', endMs - DAY_MS, 5, 288))
    await forecast('lonely')
    const [away] = holders
    if (away === undefined) throw new Error('it has holders')
    mesh.network.cut(mesh.gate.id, away.id)
    for (const subject of ['lonely', `lonely@${away.name}`]) {
      const { code, err } = await shoal('forecast', subject)
      expect(code).not.toBe(0)
      expect(err).toContain(`node ${away.name}`)
    }
    mesh.network.heal(mesh.gate.id, away.id)
    await forecast('lonely')
  })
})

describe('shoal top', () => {
  it('lists the busiest, and how many it left out', async () => {
    const { code, out } = await shoal('top', '--once', '--json')
    expect(code).toBe(0)
    const all = JSON.parse(out)
    expect(all.nodes).toHaveLength(4)
    expect(all.nodes.every((node: { from: string }) => node.from === 'answer')).toBe(true)
    expect(all.silent).toEqual([])
    const few = await mesh.gate.app.request('/v1/load?top=1')
    const { nodes, volumes, shards, leftOut } = await few.json()
    expect([nodes, volumes, shards].map(list => list.length)).toEqual([1, 1, 1])
    expect(leftOut).toEqual({
      nodes: 3,
      volumes: all.volumes.length - 1,
      shards: all.shards.length - 1
    })
    expect((await shoal('top', '--once', '--limit', '1')).code).toBe(0)
    expect((await mesh.gate.app.request('/v1/load?top=0')).status).toBe(400)
  })

  it('falls back to what a silent node gossiped, and names it', async () => {
    const east = mesh.nodes.get('east')
    if (east === undefined) throw new Error('there is an east')
    const { gossip } = mesh.gate.context.load
    await until(() => gossip.known(east.id) !== undefined, 30_000)
    mesh.network.cut(mesh.gate.id, east.id)
    const { out } = await shoal('top', '--once', '--json')
    mesh.network.heal(mesh.gate.id, east.id)
    const { nodes, silent } = JSON.parse(out)
    expect(silent).toEqual(['east'])
    const row = nodes.find((node: { node: string }) => node.node === 'east')
    expect(row.from).toBe('gossip')
    expect(row.ageMs).toBeGreaterThanOrEqual(0)
  })
})

describe('a member that asks for anything', () => {
  const call = (node: CliNode, request: LoadRequest) =>
    mesh.gate.context.rpc.call(node.id, LOAD_PROTOCOL, request, loadAnswerSchema)

  it('is answered at once, whatever it asks, and learns nothing of what is not held', async () => {
    const { id, holders } = await create('asked')
    const [node] = holders
    if (node === undefined) throw new Error('it has holders')
    await imported(csv('asked', endMs - DAY_MS, 5, 288))
    const startedMs = performance.now()
    for (const step of ['second', 'minute', 'hour'] as const) {
      const whole = { call: 'rows', volume: id, step, from: 0, to: 2 ** 48 } as const
      const { is } = await call(node, whole)
      expect(is).toBe('rows')
      const reversed = await call(node, { ...whole, from: 2 ** 48, to: 0 })
      expect(reversed).toMatchObject({ is: 'rows', rows: new Uint8Array(0) })
      const later = await call(node, { ...whole, from: 2 ** 47 })
      expect(later).toMatchObject({ is: 'rows', rows: new Uint8Array(0) })
      const own = { call: 'rows', step, from: 0, to: 2 ** 48 } as const
      expect((await call(node, own)).is).toBe('rows')
    }
    expect(performance.now() - startedMs).toBeLessThan(5_000)
    const absent = volumeId(0xabc)
    const nothing = new Uint8Array(0)
    const requests: LoadRequest[] = [
      { call: 'rows', volume: absent, step: 'minute', from: 0, to: 10 },
      { call: 'history', volume: absent, steps: 10 },
      { call: 'outlook', volume: absent, horizonMinutes: 60 },
      { call: 'import', volume: absent, rows: nothing },
      { call: 'give', volume: absent, id: idOf('1'), piece: nothing, heat: [] }
    ]
    for (const request of requests) {
      const why = expect.stringMatching(/holds nothing/)
      expect(await call(node, request)).toEqual({ is: 'unknown', why })
    }
  })

  const idOf = (digit: string) => digit.repeat(16) as (LoadRequest & { call: 'give' })['id']

  it('changes nothing with what is malformed, and is told so', async () => {
    const { id, holders } = await create('hostile')
    const [node] = holders
    if (node === undefined) throw new Error('it has holders')
    const row = { slot: Math.floor(endMs / MINUTE_MS) - 10, record: { ...IDLE, reads: 5 } }
    const backwards = Buffer.concat([encodeRows([row]), encodeRows([row])])
    for (const rows of [backwards, Uint8Array.of(1), new Uint8Array(36).fill(0xff)]) {
      const answer = await call(node, { call: 'import', volume: id, rows: new Uint8Array(rows) })
      expect(answer.is).toBe('failed')
    }
    const piece = new Uint8Array(1000).fill(3)
    const give: LoadRequest = { call: 'give', volume: id, id: idOf('2'), piece, heat: [] }
    expect(await call(node, give)).toEqual({
      is: 'failed',
      why: expect.stringMatching(/no piece of history/)
    })
    // The future, and a time before any that is kept: nothing of it is taken.
    const far = [1, 2 ** 31].map(slot => ({ slot, record: row.record }))
    const answer = await call(node, { call: 'import', volume: id, rows: encodeRows(far) })
    expect(answer).toEqual({ is: 'taken', rows: 0 })
    expect((await exported('hostile')).size).toBe(0)
    const most = Array.from({ length: MAX_ROWS }, (_, i) => ({ slot: i + 1, record: row.record }))
    const old = await call(node, { call: 'import', volume: id, rows: encodeRows(most) })
    expect(old).toEqual({ is: 'taken', rows: 0 })
  })

  it('gets a report that fits a message, of however many shards', () => {
    const { load } = mesh.gate.context
    const measured = { ...reportOf(load).node, ...heavy }
    const shards = Array.from({ length: MAX_REPORT_SHARDS }, (_, i) => ({
      volume: volumeId(i),
      share: 1 / 3,
      measured
    }))
    const report = { ...reportOf(load), node: measured, shards }
    expect(reportSchema.safeParse(report).success).toBe(true)
    const rpcBytes = encodedBytes({ is: 'report', report })
    expect(rpcBytes).toBeLessThan(MAX_CONTROL_MESSAGE_BYTES)
  })

  const odd = 1234.567891
  const band = { minutes: 15, q50: odd, q90: odd, q95: odd }
  const heavy = {
    reads: odd,
    writes: odd,
    readBytes: odd,
    writtenBytes: odd,
    sequential: 1 / 3,
    queue: odd,
    p50Us: odd,
    p99Us: odd,
    load: odd,
    ahead: [band, { ...band, minutes: 60 }],
    chance: 1 / 3,
    threshold: { load: odd, from: 'capacity' as const }
  }
  const encodedBytes = (value: unknown): number => encodeCbor(value).length
})
