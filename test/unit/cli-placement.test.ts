// Goal: `shoal volume create` puts a volume where it is foretold to be quiet when that volume is busy,
// and says so; nodes of which nothing is known are placed by the other rules.
// Method: a mesh in memory with real forecasts, made from a week of imported load.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CreatedDocument, VolumeDocument } from '../../node/control/documents.ts'
import { formatIsoTime } from '../../protocols/load/iso-time.ts'
import { type CliMesh, type CliNode, smallMesh } from '../support/cli-mesh.ts'
import { Terminal } from '../support/cli-terminal.ts'

const HOUR_MS = 3_600_000
const DAY_HOURS = 24

let mesh: CliMesh & { gate: CliNode }
let terminal: Terminal
/** Where the load of a week is, every day in the six hours from `busyHour` on (UTC). */
let busyNode: string
const busyHour = (new Date().getUTCHours() + 4) % DAY_HOURS

const shoal = (...words: string[]) => terminal.run(words)

async function create(...words: string[]): Promise<CreatedDocument> {
  const run = await shoal('volume', 'create', ...words, '--zone', 'UTC', '--json')
  expect(run).toMatchObject({ code: 0, err: '' })
  return JSON.parse(run.out) as CreatedDocument
}

async function importWeek(volume: string): Promise<void> {
  const endMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  const lines = Array.from({ length: 7 * DAY_HOURS }, (_, i) => {
    const timeMs = endMs - (7 * DAY_HOURS - i) * HOUR_MS
    const since = (new Date(timeMs).getUTCHours() - busyHour + DAY_HOURS) % DAY_HOURS
    return `${formatIsoTime(timeMs)},${volume},${since < 6 ? 700 : 20},0,0,0`
  })
  const body = `time,volume,reads,writes,read_bytes,written_bytes\n${lines.join('\n')}\n`
  const answer = await mesh.gate.app.request('/v1/load/import', { method: 'POST', body })
  expect(answer.status).toBe(200)
}

const at = (hour: number) => `daily ${String(hour % DAY_HOURS).padStart(2, '0')}:00 for 2h +300`

beforeAll(async () => {
  mesh = await smallMesh()
  terminal = await Terminal.open(mesh.gate)
  const storage = [...mesh.nodes.values()].filter(node => node.store !== undefined)
  for (const node of storage) await node.context.limit?.set(1000)
  const { nodes } = await create('old', '--size', '1G', '--shards', '1')
  busyNode = nodes[0]?.name ?? ''
  await importWeek('old')
})
afterAll(async () => {
  await terminal.close()
  await mesh.close()
})

describe('a new volume', () => {
  it('is placed where it is quiet when it is busy, and the command says so', async () => {
    const words = ['--size', '1G', '--shards', '2', '--pattern', at(busyHour + 1)]
    const created = await create('same-hours', ...words)
    expect(created.nodes.map(node => node.name)).not.toContain(busyNode)
    for (const { forecast } of created.nodes) expect(forecast?.overMinutes ?? 0).toBe(0)
    expect(created.passedOver).toMatchObject([{ name: busyNode, forecast: { from: 'outlook' } }])
    expect(created.passedOver[0]?.forecast?.overMinutes).toBeGreaterThanOrEqual(60)
    const { out } = await shoal('volume', 'create', 'again', ...words)
    expect(out).toMatch(
      new RegExp(`not ${busyNode}: at most 1?[0-9]+ ?% of its threshold .*, above it for`)
    )
    const shown = await shoal('volume', 'show', 'same-hours', '--json')
    const { patterns } = JSON.parse(shown.out) as VolumeDocument
    expect(patterns).toMatchObject([{ minutes: 120, iops: 300 }])
  })

  it('may go there if it is busy at other hours', async () => {
    const words = ['--size', '1G', '--shards', '3', '--pattern', at(busyHour + 12)]
    const created = await create('other-hours', ...words)
    const there = created.nodes.find(node => node.name === busyNode)
    expect(there?.forecast).toMatchObject({ from: 'outlook', overMinutes: 0, busyMinutes: 120 })
    expect(created.passedOver).toEqual([])
  })

  it('is placed by the other rules where a node says nothing in time', async () => {
    const silent = mesh.nodes.get(busyNode)
    await silent?.context.load.close()
    const words = ['--size', '1G', '--shards', '3', '--iops', '500']
    const created = await create('unknown', ...words)
    expect(created.nodes).toHaveLength(3)
  })

  it.each([
    'nights',
    'daily 02:00 for 40m',
    'daily 02:00 for 40m +1 +2',
    'daily 02:00 for 40m +1/s +2/s',
    'someday 02:00 for 40m +1'
  ])('is refused with a pattern like %j', async text => {
    const words = ['volume', 'create', 'bad', '--size', '1G', '--pattern', text]
    const { code, err } = await shoal(...words)
    expect(code).toBe(2)
    expect(err).toMatch(/mon-fri 02:00/)
  })
})
