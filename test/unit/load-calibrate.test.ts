// Goal: a calibration measures every cell on a store of its own, is remembered, and leaves nothing
// behind however it ends: done, called off, failed, or killed.
// Method: real stores of 8 MiB in a temporary directory, with cells of 20 ms; nothing that a test
// decides depends on how fast they were.
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StatusDocument } from '../../node/control/documents.ts'
import type { CalibrationStateDocument } from '../../node/control/load-documents.ts'
import { controlApp } from '../../node/control/server.ts'
import {
  type Calibration,
  type CalibrationParts,
  openCalibration
} from '../../node/load/calibrate.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { calibrationParts } from '../support/calibration-parts.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { Terminal } from '../support/cli-terminal.ts'
import { REPOSITORY } from '../support/process-cli.ts'
import { Child, printed } from '../support/process-spawn.ts'

const QUICK = { isQuick: true, force: false }
let dir: string
const opened: Calibration[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-calibrate-'))
})
afterEach(async () => {
  for (const calibration of opened.splice(0)) await calibration.close()
  await rm(dir, { recursive: true })
})

async function open(parts: Partial<CalibrationParts> = {}): Promise<Calibration> {
  const calibration = await openCalibration({ ...calibrationParts(dir), ...parts })
  opened.push(calibration)
  return calibration
}

async function done(calibration: Calibration): Promise<void> {
  await until(() => calibration.running() === undefined, 60_000)
}

describe('a calibration', () => {
  it('measures all nine cells, is in force, and leaves only its file', async () => {
    const calibration = await open()
    expect(calibration.shareOf({ ...IDLE, reads: 1 })).toBeUndefined()
    expect(await calibration.start(QUICK)).toEqual([])
    expect(calibration.running()).toMatchObject({ of: 9 })
    await done(calibration)
    expect(calibration.ended()).toEqual({ is: 'done' })
    const last = calibration.last()
    const cells = last?.cells.map(cell => `${cell.sizeBytes} ${cell.readPart}`)
    const sizes = [4 * KiB, 64 * KiB, MiB]
    expect(cells).toEqual([1, 0.7, 0].flatMap(part => sizes.map(size => `${size} ${part}`)))
    for (const cell of last?.cells ?? []) expect(cell.requestsPerSecond).toBeGreaterThan(0)
    expect(last?.capacity).toBeGreaterThan(0)
    expect(calibration.shareOf({ ...IDLE, reads: 10, readBytes: 10 * MiB })).toBeGreaterThan(0)
    expect(await readdir(dir)).toEqual(['calibration.cbor'])
  })

  it('is remembered after a restart, and not replaced by one that was called off', async () => {
    const first = await open()
    await first.start(QUICK)
    await done(first)
    const again = await open({ cellMs: 60_000 })
    expect(again.last()).toEqual(first.last())
    await again.start(QUICK)
    await until(() => again.running()?.cell === 1, 30_000)
    expect(existsSync(join(dir, 'calibration'))).toBe(true)
    expect(await again.cancel()).toBe(true)
    expect(again.ended()).toEqual({ is: 'cancelled' })
    expect(again.last()).toEqual(first.last())
    expect(await readdir(dir)).toEqual(['calibration.cbor'])
    expect(await again.cancel()).toBe(false)
  })

  it('is called off while it still looks at clients', async () => {
    const calibration = await open()
    const start = calibration.start(QUICK)
    expect(await calibration.cancel()).toBe(true)
    await expect(start).rejects.toThrow(/called off/)
    expect(calibration.running()).toBeUndefined()
    expect(await readdir(dir)).toEqual([])
  })

  it('runs one at a time', async () => {
    const calibration = await open()
    const started = calibration.start(QUICK)
    await expect(calibration.start(QUICK)).rejects.toMatchObject({ fault: { code: 'CONFLICT' } })
    await started
    await expect(calibration.start(QUICK)).rejects.toThrow(/is running/)
    await done(calibration)
    expect(calibration.ended()).toEqual({ is: 'done' })
  })

  it('is refused where space is short, and takes less data where it is only just there', async () => {
    const scratch = (freeBytes: number) => ({
      ...calibrationParts(dir).scratch,
      freeBytes: async () => freeBytes
    })
    const short = await open({ scratch: scratch(131 * MiB) })
    await expect(short.start(QUICK)).rejects.toMatchObject({ fault: { code: 'NO_SPACE' } })
    expect(short.running()).toBeUndefined()
    const enough = await open({ scratch: scratch(132 * MiB) })
    await enough.start(QUICK)
    await done(enough)
    expect(enough.ended()).toEqual({ is: 'done' })
  })

  it('is refused while clients use the node, unless forced; a little use is a warning', async () => {
    let made = 0
    const requests = (each: number) => () => {
      made += each
      return made
    }
    const busy = await open({ requests: requests(5_000) })
    await expect(busy.start(QUICK)).rejects.toThrow(/requests per second.*--force/)
    expect(busy.running()).toBeUndefined()
    expect(await busy.start({ isQuick: true, force: true })).toHaveLength(1)
    await busy.cancel()
    const used = await open({ requests: requests(2) })
    expect(await used.start(QUICK)).toEqual([expect.stringMatching(/clients make \d+ requests/)])
  })

  it('that fails says why, and is not remembered', async () => {
    const { scratch } = calibrationParts(dir)
    const dropCaches = () => Promise.reject(new Error('the disk is on fire'))
    const calibration = await open({ scratch: { ...scratch, dropCaches } })
    await calibration.start(QUICK)
    await done(calibration)
    expect(calibration.ended()).toEqual({ is: 'failed', why: 'the disk is on fire' })
    expect(calibration.last()).toBeUndefined()
    expect(await readdir(dir)).toEqual([])
  })

  it('that was killed with its process leaves nothing after the next start', async () => {
    const script = join(REPOSITORY, 'dist/test/support/calibration-launcher.js')
    const child = new Child('calibration', process.execPath, [script, dir])
    await printed(child, /measuring/)
    expect(await readdir(join(dir, 'calibration'))).toContain('shards')
    await child.kill()
    expect(existsSync(join(dir, 'calibration'))).toBe(true)
    const calibration = await open()
    expect(calibration.last()).toBeUndefined()
    expect(calibration.problems()).toEqual([])
    expect(await readdir(dir)).toEqual([])
  })

  it('whose file is damaged is named, ignored, and replaced by the next one', async () => {
    const first = await open()
    await first.start(QUICK)
    await done(first)
    const file = join(dir, 'calibration.cbor')
    const bytes = await readFile(file)
    bytes[40] = (bytes[40] ?? 0) ^ 1
    await writeFile(file, bytes)
    const again = await open()
    expect(again.last()).toBeUndefined()
    expect(again.problems()).toEqual([expect.stringMatching(/checksum.*shoal calibrate/)])
    await again.start(QUICK)
    await done(again)
    expect(again.problems()).toEqual([])
    expect(again.last()?.cells).toHaveLength(9)
  })
})

describe('shoal calibrate', () => {
  let mesh: CliMesh & { gate: CliNode }
  beforeEach(async () => {
    mesh = await smallMesh()
  })
  afterEach(() => mesh.close())

  async function terminalOf(calibration: Calibration): Promise<Terminal> {
    const west = mesh.nodes.get('west')
    if (west === undefined) throw new Error('no node west')
    const app = controlApp({ ...west.context, calibration }, west.volumes)
    return Terminal.open({ ...west, app })
  }

  it('prints a table and the capacity, or one document', async () => {
    const terminal = await terminalOf(await open())
    const words = await terminal.run(['calibrate', '--quick'])
    expect(words).toMatchObject({ code: 0, err: '' })
    expect(words.out).toMatch(/^SIZE +MIX +IOPS +THROUGHPUT\n4 KiB +reads +\d+ +\S+ \S+\/s\n/)
    expect(words.out).toMatch(/^1 MiB +70\/30 /m)
    expect(words.out).toMatch(/^capacity \d+ units\/s/m)
    const json = await terminal.run(['calibrate', '--json'])
    const document = JSON.parse(json.out)
    expect(document.cells).toHaveLength(9)
    expect(document).toMatchObject({ isQuick: false, capacity: expect.any(Number) })
    await terminal.close()
  })

  it('is called off by ctrl-C, at the node too', async () => {
    const calibration = await open({ cellMs: 60_000 })
    const terminal = await terminalOf(calibration)
    const run = await terminal.run(['calibrate'], { onInterruptible: interrupt => interrupt() })
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/called off: nothing is remembered/)
    expect(calibration.running()).toBeUndefined()
    await terminal.close()
  })

  it('says on a node without data that there is nothing to measure', async () => {
    const terminal = await Terminal.open(mesh.gate)
    const run = await terminal.run(['calibrate'])
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/node gate keeps no data/)
    await terminal.close()
    const { app } = mesh.gate
    expect((await app.request('/v1/calibration')).status).toBe(409)
    const bad = { method: 'POST', body: '{"quick":"yes"}' }
    expect((await app.request('/v1/calibration', bad)).status).toBe(400)
  })

  it('makes status say what part of the node its load takes', async () => {
    const calibration = await open()
    await calibration.start(QUICK)
    await done(calibration)
    const west = mesh.nodes.get('west')
    if (west === undefined) throw new Error('no node west')
    Object.assign(west.context, { calibration })
    const answer = await mesh.gate.app.request('/v1/status')
    const { nodes } = (await answer.json()) as StatusDocument
    const found = nodes.find(node => node.name === 'west')
    expect(found).toMatchObject({ capacity: calibration.last()?.capacity, share: 0 })
    expect(nodes.find(node => node.name === 'east')).not.toHaveProperty('capacity')
    const state = await controlApp(west.context, west.volumes).request('/v1/calibration')
    expect(((await state.json()) as CalibrationStateDocument).ended).toEqual({ is: 'done' })
  })
})
