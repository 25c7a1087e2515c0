// Goal: moves, drains, departures and giving up read well for people and are whole for programs;
// ctrl-C only ends the waiting, and says how to go on and how to call it off.
// Method: the real commands over a real control socket, on a mesh in memory.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VolumeId } from '../../protocols/ids.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { GiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'
import { type Run, type RunOptions, Terminal } from '../support/cli-terminal.ts'

let mesh: CliMesh & { gate: CliNode }
let id: VolumeId
let source: CliNode
let target: CliNode
let terminal: Terminal

beforeEach(async () => {
  mesh = await smallMesh()
  const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 1 })
  id = created.id
  const nodes = [...mesh.nodes.values()].filter(node => node.store !== undefined)
  const holder = nodes.find(node => node.id === created.nodes[0])
  const other = nodes.find(node => node.id !== created.nodes[0])
  if (holder === undefined || other === undefined) throw new Error('three storage nodes')
  source = holder
  target = other
  await until(() => nodes.every(node => node.context.map.mesh().volumes.has(id)))
  await until(() => source.context.map.volume(id) !== undefined)
  terminal = await Terminal.open(source)
})
afterEach(async () => {
  await terminal.close()
  await mesh.close()
})

const shoal = (line: string, options?: RunOptions): Promise<Run> =>
  terminal.run(line.split(' '), options)

/** Presses ctrl-C as soon as the command waits. */
const interrupted: RunOptions = { onInterruptible: interrupt => interrupt() }

describe('shoal move', () => {
  it('says what it began, and with --wait what it did', async () => {
    const words = `move web --from ${source.name} --to ${target.name}`
    const begun = await shoal(`${words} --extents 0-3`)
    expect(begun.out).toMatch(
      new RegExp(`^move [0-9a-f]{12}: 4 chunks of web \\(0 B\\) from ${source.name} to `)
    )
    const done = await shoal(`${words} --extents 4-4 --wait`)
    expect(done).toMatchObject({ code: 0, err: '' })
    expect(done.out).toMatch(/^moved 1 chunk of web \(0 B\) to .*; longest pause 1 ms\n$/)
    const json = await shoal(`${words} --extents 5 --wait --json`)
    expect(JSON.parse(json.out)).toMatchObject({ state: 'done', chunks: { total: 1, done: 1 } })
  })

  it('fails with --wait when chunks could not move', async () => {
    source.handoffs.failNext('bad blocks', false)
    const run = await shoal(`move web --from ${source.name} --to ${target.name} --wait`)
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/failed with 15 of 16 chunks moved: extent 0, column 0: bad blocks/)
  })

  it('goes on after ctrl-C, which says how to look and how to call it off', async () => {
    source.handoffs.hold()
    const words = `move web --from ${source.name} --to ${target.name} --wait`
    const run = await shoal(words, interrupted)
    expect(run.code).toBe(1)
    const called = /the move goes on: .*`shoal moves cancel ([0-9a-f]{12})`/.exec(run.err)?.[1]
    const list = await shoal('moves')
    expect(list.out).toMatch(new RegExp(`^${called} +web .* running +0 of 16 `, 'm'))
    const off = await shoal(`moves cancel ${called}`)
    expect(off.out).toMatch(/is called off: 0 of 16 chunks moved; the chunk in hand is given up/)
  })
})

describe('shoal moves', () => {
  it('says so when there are none, and shows bounds, drains and who did not answer', async () => {
    expect((await shoal('moves')).out).toBe('no moves\n')
    const rate = await shoal(`moves rate 50M --node ${source.name}`)
    expect(rate.out).toBe(`copying from and to ${source.name} may use 50 MiB/s\n`)
    source.handoffs.hold()
    await shoal(`drain ${source.name}`)
    mesh.network.cut(source.id, target.id)
    const { out } = await shoal('moves')
    expect(out).toMatch(/^ID +VOLUME +FROM +TO +STATE +CHUNKS +BYTES +RATE +LEFT +WHY$/m)
    expect(out).toMatch(/the node is drained$/m)
    expect(out).toContain(`copying from and to ${source.name} may use 50 MiB/s`)
    expect(out).toContain(`${source.name} is drained: 16 chunks (0 B) to go`)
    expect(out).toContain(`no answer from ${target.name}`)
    expect((await shoal('moves rate unlimited')).out).toMatch(/as much as there is/)
  })
})

describe('shoal drain', () => {
  it('empties a node and says so; --cancel lets it take chunks again', async () => {
    const run = await shoal(`drain ${source.name} --wait`)
    expect(run).toMatchObject({ code: 0 })
    expect(run.out).toBe(`${source.name} is drained: it holds no chunk any more\n`)
    expect((await shoal('status')).out).toMatch(/, draining /)
    const off = await shoal(`drain ${source.name} --cancel`)
    expect(off.out).toMatch(/takes chunks again/)
    expect((await shoal('status')).out).not.toMatch(/, draining /)
  })

  it('goes on after ctrl-C', async () => {
    source.handoffs.hold()
    const run = await shoal(`drain ${source.name} --wait`, interrupted)
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/the drain goes on: .*--wait` waits again, .*--cancel` calls it off/)
    expect(source.moves?.draining()).toBe('maintenance')
  })
})

describe('shoal leave', () => {
  it('empties the node first, and then leaves', async () => {
    const run = await shoal('leave --yes')
    expect(run.code).toBe(0)
    expect(run.err).toMatch(/16 chunks \(0 B\) go to other nodes first; ctrl-C stops waiting/)
    expect(run.out).toContain(`${source.name} left the mesh`)
    expect(source.asked).toEqual(['leave', 'shutdown: the node left the mesh'])
  })

  it('is refused beforehand without room, and says how much is missing', async () => {
    const data = new Uint8Array(4096)
    const chunk = { volume: id, extent: 0, generation: 0, column: 0, replica: 0 }
    await source.store?.write(chunk, 0, data, new Uint32Array([0]))
    for (const node of mesh.nodes.values()) node.medium.capacityBytes = MIN_ROOM_BYTES
    const run = await shoal('leave --yes')
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/^shoal: the other nodes have no room .*: 4 KiB are missing/)
    expect(source.asked).toEqual([])
  })

  it('can be left waiting, gone on with, and called off', async () => {
    source.handoffs.hold()
    const run = await shoal('leave', { ...interrupted, answer: 'y' })
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/run `shoal leave` again .* or `shoal leave --cancel` to stay/)
    expect(source.asked).toEqual([])
    const stays = await shoal('leave --cancel')
    expect(stays.out).toContain('stays in the mesh')
    expect((await shoal('leave --cancel')).err).toMatch(/this node is not leaving/)
    source.handoffs.release()
    await until(() => source.handoffs.counts().sending === 0)
    expect((await shoal('leave --yes')).code).toBe(0)
    expect(source.asked).toEqual(['leave', 'shutdown: the node left the mesh'])
  })
})

describe('shoal node give-up', () => {
  it('explains what exists only there, asks, and needs --accept-loss', async () => {
    await terminal.close()
    terminal = await Terminal.open(mesh.gate)
    const asked = await shoal(`node give-up ${source.name}`)
    expect(asked.code).toBe(1)
    expect(asked.err).toMatch(/! volume web: 16 chunks \(up to 1 GiB\) exist only there/)
    expect(asked.err).toMatch(/is connected: `shoal leave` there would lose nothing/)
    expect(asked.err).toMatch(/no terminal to ask on: pass --yes/)
    const no = await shoal(`node give-up ${source.name}`, { answer: 'n' })
    expect(no.err).toMatch(/nothing was changed/)
    const refused = await shoal(`node give-up ${source.name} --yes`)
    expect(refused.err).toMatch(/holds the only copy of data of web .*--accept-loss/)
    expect(mesh.gate.asked).toEqual([])
    const run = await shoal(`node give-up ${source.name} --yes --accept-loss`)
    expect(run.out).toBe(`gave ${source.name} up; its data of web is lost\n`)
    expect(mesh.gate.asked).toEqual([`revoke ${source.id}`])
  })

  it('needs no --accept-loss where nothing is lost', async () => {
    await terminal.close()
    terminal = await Terminal.open(mesh.gate)
    const run = await shoal(`node give-up ${target.name} --yes`)
    expect(run.err).toContain('No data exists only there.')
    expect(run.out).toBe(`gave ${target.name} up\n`)
  })
})
