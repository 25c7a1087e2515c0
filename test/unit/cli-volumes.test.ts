// Goal: a volume is created whole or not at all, deleted whole or not at all, and its bytes go in and
// out of images unchanged, whatever node is away meanwhile.
// Method: real shards, map and gateways on a memory network; nodes are killed and started again.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { attachAgain, attachVolume } from '../../node/volumes/attach.ts'
import { openImageSource, streamSource } from '../../node/volumes/image.ts'
import { SavedList } from '../../node/volumes/saved-list.ts'
import { callShard } from '../../node/volumes/shards.ts'
import type { SavedAttachment, TransferOptions } from '../../node/volumes/types.ts'
import { isFault } from '../../protocols/fault.ts'
import type { Nonce, VolumeId } from '../../protocols/ids.ts'
import { GiB, MiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from '../support/cli-mesh.ts'

let mesh: CliMesh & { gate: CliNode }

beforeEach(async () => {
  mesh = await smallMesh()
})
afterEach(() => mesh.close())

const storage = () => [...mesh.nodes.values()].filter(node => node.store !== undefined)
const shardCount = () =>
  storage().reduce((sum, node) => sum + (node.store?.shards().length ?? 0), 0)

/** Gossip told every node of the volume, and its shards' nodes have its document. */
function isKnownEverywhere(id: VolumeId): boolean {
  return [...mesh.nodes.values()].every(({ context, store }) => {
    const needsDocument = store?.shard(id) !== undefined
    const { map } = context
    return map.mesh().volumes.has(id) && (!needsDocument || map.volume(id) !== undefined)
  })
}

/** A mover takes the token at every shard of the volume, as soon as no gateway is heard there. */
async function moverComesAndGoes(volume: VolumeId, counter: number): Promise<void> {
  const token = { counter, attach: 'eeeeeeeeeeeeeeee' as Nonce }
  for (const { context, id, store } of storage()) {
    if (store?.shard(volume) === undefined) continue
    const mover = { node: id, host: 'mover', since: 1 }
    const taken = { call: 'mover', volume, token, mover } as const
    for (let answer = 'busy'; answer !== 'state'; ) {
      answer = (await callShard(context, id, taken)).is
      expect(['busy', 'state']).toContain(answer)
    }
    await callShard(context, id, { call: 'detach', volume, token })
  }
}

describe('create', () => {
  it('spreads the shards over regions and announces the volume to everybody', async () => {
    const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    expect(new Set(created.nodes).size).toBe(3)
    expect(shardCount()).toBe(3)
    await until(() =>
      [...mesh.nodes.values()].every(node => node.context.map.mesh().volumes.has(created.id))
    )
  })

  it('follows the layout rule when nothing is asked for', async () => {
    const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    expect(created.columns).toBe(2)
  })

  it('leaves nothing behind when one node has no answer', async () => {
    const west = [...mesh.nodes.values()].find(node => node.name === 'west')
    west?.store?.failNext('saveShard', 'IO_ERROR')
    const attempt = mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    await expect(attempt).rejects.toThrow(/west/)
    expect(shardCount()).toBe(0)
    expect(mesh.gate.context.map.mesh().volumes.size).toBe(0)
    await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
  })

  it('refuses a name that is taken, and more shards than nodes with room', async () => {
    await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    const again = mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    await expect(again).rejects.toThrow(/there is a volume named web already/)
    const wide = mesh.gate.volumes.create({ name: 'wide', sizeBytes: GiB, shards: 4 })
    await expect(wide).rejects.toThrow(/there are 3 nodes/)
    mesh.kill('east')
    const fewer = mesh.gate.volumes.create({ name: 'wide', sizeBytes: GiB, shards: 3 })
    await expect(fewer).rejects.toThrow(/there are 2 nodes/)
  })

  it('is answered when another node knows the volume, which may then do without us', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    const kept = storage().filter(({ context }) => context.map.volume(id) !== undefined)
    const named = kept.filter(({ context }) => context.map.mesh().volumes.get(id)?.name === 'web')
    expect(named.length).toBeGreaterThan(0)
    mesh.kill('gate')
    const west = mesh.nodes.get('west')
    await until(() => west?.context.map.mesh().volumes.has(id) === true)
    await west?.volumes.attach(id, {})
  })

  it('says so when no other node has confirmed in time that it knows the volume', async () => {
    const { map } = mesh.gate.context
    map.onVolume(() => {
      for (const { id } of storage()) mesh.network.cut(mesh.gate.id, id)
    })
    const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    expect(created.warnings).toEqual([expect.stringMatching(/keep this node up/)])
    for (const { id } of storage()) mesh.network.heal(mesh.gate.id, id)
    const shares = storage().filter(({ store }) => store?.shard(created.id) !== undefined)
    const peers = shares.map(({ id }) => id)
    expect(await map.spread(created.id, peers, { timeoutMs: 5_000 })).toBe(true)
    expect(await map.spread(created.id, [], { timeoutMs: 5_000 })).toBe(false)
  })

  it('keeps to the region that was asked for, and names the regions when there is none', async () => {
    const near = { name: 'a', sizeBytes: GiB, shards: 1, near: 'us-east' }
    const { nodes } = await mesh.gate.volumes.create(near)
    expect(nodes).toEqual([mesh.nodes.get('east')?.id])
    const typo = mesh.gate.volumes.create({ name: 'b', sizeBytes: GiB, near: 'us-esat' })
    await expect(typo).rejects.toThrow('the regions are eu-north, eu-west, us-east')
  })
})

describe('attach', () => {
  it('gives the same export again, and refuses a second gateway with the name of the host', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    const { point } = await mesh.gate.volumes.attach(id, {})
    expect((await mesh.gate.volumes.attach(id, {})).point).toBe(point)
    const west = mesh.nodes.get('west')
    await until(() => isKnownEverywhere(id))
    await expect(west?.volumes.attach(id, {})).rejects.toThrow(/host-gate/)
    await expect(west?.volumes.resize(id, 2 * GiB)).rejects.toThrow(/host-gate: resize it there/)
  })

  it('comes back by itself after a restart, unless another gateway had it since', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    await mesh.gate.volumes.attach(id, {})
    const west = mesh.nodes.get('west')
    await until(() => isKnownEverywhere(id))
    mesh.kill('gate')
    const again = await mesh.start('gate', 'eu-west', 'gateway')
    again.volumes.restore()
    await until(() => again.context.gateway.attachments().get(id)?.state() === 'serving')

    mesh.kill('gate')
    await west?.volumes.attach(id, { takeOver: true })
    await west?.volumes.detach(id)
    const third = await mesh.start('gate', 'eu-west', 'gateway')
    third.volumes.restore()
    await until(() => third.volumes.problems().some(text => /attached elsewhere/.test(text)))
    expect(third.context.gateway.attachments().size).toBe(0)
  })

  it('comes back after a restart, whatever token a mover had meanwhile; its list follows', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    await until(() => isKnownEverywhere(id))
    const lists: SavedAttachment[][] = []
    const saved = await SavedList.open({
      load: async () => [],
      save: async list => void lists.push([...list])
    })
    await attachVolume(mesh.gate.context, saved, id)
    const attachment = mesh.gate.context.gateway.attachments().get(id)
    const before = attachment?.token.counter ?? 0
    for (const { id: node } of storage()) mesh.network.cut(mesh.gate.id, node)
    await moverComesAndGoes(id, before + 5)
    for (const { id: node } of storage()) mesh.network.heal(mesh.gate.id, node)
    await until(() => attachment?.token.counter === before + 6)
    await until(() => lists.at(-1)?.[0]?.token.counter === before + 6)
    expect(attachment?.state()).toBe('serving')

    const entry = lists.at(-1)?.[0]
    mesh.kill('gate')
    await moverComesAndGoes(id, before + 9)
    const again = await mesh.start('gate', 'eu-west', 'gateway')
    if (entry === undefined) throw new Error('nothing was saved')
    await until(() => again.context.map.mesh().volumes.has(id))
    await attachAgain(again.context, saved, entry)
    expect(again.context.gateway.attachments().get(id)?.token.counter).toBe(before + 10)
  })

  it('undoes only what it made when its list cannot be written', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    const { gateway, exports } = mesh.gate.context
    let isFull = true
    const saved = await SavedList.open({
      load: async () => [],
      save: async () => {
        if (isFull) throw new Error('the disk of the list is full')
      }
    })
    const attach = () => attachVolume(mesh.gate.context, saved, id)
    await expect(attach()).rejects.toThrow(/list is full/)
    expect(gateway.attachments().size).toBe(0)
    expect(exports.point(id)).toBeUndefined()
    expect(saved.has(id)).toBe(false)

    isFull = false
    await attach()
    isFull = true
    await expect(attach()).rejects.toThrow(/list is full/)
    expect(gateway.attachments().get(id)?.state()).toBe('serving')
    expect(exports.point(id)).toBeDefined()
    expect(saved.has(id)).toBe(true)
  })

  it('comes back although an attempt of its own failed since', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    await mesh.gate.volumes.attach(id, {})
    await until(() => isKnownEverywhere(id))
    mesh.kill('gate')
    const again = await mesh.start('gate', 'eu-west', 'gateway')
    const east = mesh.nodes.get('east')
    east?.store?.hold() // answers, but grants nothing
    const attempt = again.volumes.attach(id, { timeoutMs: 300 })
    await expect(attempt).rejects.toMatchObject({ fault: { code: 'UNREACHABLE' } })
    const tokens = storage().map(node => node.store?.shard(id)?.token.counter)
    expect(new Set(tokens).size).toBe(2)
    east?.store?.release()
    again.volumes.restore()
    await until(() => again.context.gateway.attachments().get(id)?.state() === 'serving')
    expect(again.volumes.problems()).toEqual([])
  })

  it('grows a volume whether it is attached or not, and never shrinks it', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    expect(await mesh.gate.volumes.resize(id, 2 * GiB)).toEqual({
      oldBytes: GiB,
      isAttached: false
    })
    expect((await mesh.gate.volumes.attach(id, {})).sizeBytes).toBe(2 * GiB)
    expect((await mesh.gate.volumes.resize(id, 3 * GiB)).isAttached).toBe(true)
    expect(mesh.gate.context.gateway.attachments().get(id)?.sizeBytes()).toBe(3 * GiB)
    await expect(mesh.gate.volumes.resize(id, GiB)).rejects.toThrow(/only grows/)
  })
})

describe('delete', () => {
  it('frees every shard and the name', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    expect(await mesh.gate.volumes.remove(id, { force: false })).toMatchObject({ pending: [] })
    expect(shardCount()).toBe(0)
    await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
  })

  it('is refused while a gateway holds the volume, here or elsewhere', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB })
    await mesh.gate.volumes.attach(id, {})
    await until(() => isKnownEverywhere(id))
    const refusals = [mesh.gate, mesh.nodes.get('west')].map(node =>
      node?.volumes.remove(id, { force: false })
    )
    for (const refusal of refusals) await expect(refusal).rejects.toThrow(/attached on/)
    expect(shardCount()).toBe(2)
  })

  it('is refused while a node is away; forced, that node frees its shard when it returns', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    mesh.kill('east')
    await expect(mesh.gate.volumes.remove(id, { force: false })).rejects.toThrow(/east/)
    const removed = await mesh.gate.volumes.remove(id, { force: true })
    expect(removed.pending).toHaveLength(1)
    const east = await mesh.start('east', 'us-east', 'storage')
    expect(east.store?.shards()).toHaveLength(1)
    await until(() => east.store?.shards().length === 0)
  })

  it('never frees a shard because the map does not know its volume', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 3 })
    const other = await mesh.gate.volumes.create({ name: 'other', sizeBytes: GiB, shards: 3 })
    await mesh.gate.volumes.remove(other.id, { force: false })
    for (const node of storage()) {
      await node.reaper?.settled()
      expect(node.store?.shard(id)).toBeDefined()
    }
  })
})

describe('import and export', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'shoal-images-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('gives back the very bytes of a sparse image, and its holes', async () => {
    const image = await sparseImage(join(dir, 'in.img'))
    const imported = await mesh.gate.volumes.import(
      { name: 'vm' },
      await openImageSource(image),
      quiet()
    )
    expect(imported.sha256).toBe(await digestOf(image))
    expect(imported.dataBytes).toBeLessThanOrEqual(3 * MiB)
    const copy = join(dir, 'out.img')
    const exported = await mesh.gate.volumes.export(imported.volume, copy, quiet())
    expect(exported.sha256).toBe(imported.sha256)
    expect(await digestOf(copy)).toBe(imported.sha256)
    expect((await stat(copy)).blocks * 512).toBeLessThanOrEqual(4 * MiB)
    expect(mesh.gate.context.gateway.attachments().size).toBe(0)
  })

  it('replaces what a volume holds only when told to, and then all of it', async () => {
    const image = await sparseImage(join(dir, 'in.img'))
    const first = await mesh.gate.volumes.import(
      { name: 'vm' },
      await openImageSource(image),
      quiet()
    )
    const text = Buffer.from('a short image')
    const again = (overwrite: boolean) =>
      mesh.gate.volumes.import(
        { name: 'vm', overwrite },
        streamSource(one(text), undefined),
        quiet()
      )
    await expect(again(false)).rejects.toThrow(/--overwrite/)
    await again(true)
    const copy = join(dir, 'out.img')
    await mesh.gate.volumes.export(first.volume, copy, quiet())
    const bytes = await readFile(copy)
    expect(bytes.subarray(0, text.length)).toEqual(text)
    expect(bytes.subarray(text.length).every(byte => byte === 0)).toBe(true)
  })

  it('deletes the volume that a failed import made, and leaves no half of an export', async () => {
    const broken = streamSource(breaking(), undefined)
    const wish = { name: 'vm', sizeBytes: 8 * MiB }
    await expect(mesh.gate.volumes.import(wish, broken, quiet())).rejects.toThrow(/cable/)
    expect(mesh.gate.context.map.mesh().volumes.size).toBe(0)
    expect(shardCount()).toBe(0)

    const { id } = await mesh.gate.volumes.create({ name: 'v', sizeBytes: 8 * MiB })
    const aborted = { onProgress: () => undefined, signal: AbortSignal.abort(new Error('enough')) }
    await expect(mesh.gate.volumes.export(id, join(dir, 'x'), aborted)).rejects.toThrow(/enough/)
    expect(await readdir(dir)).toEqual([])
  })

  it('refuses an attached volume, a stream without a size, and an image that is too long', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'v', sizeBytes: MiB })
    const long = () => streamSource(one(Buffer.alloc(2 * MiB)), undefined)
    const { volumes } = mesh.gate
    await expect(volumes.import({ name: 'v' }, long(), quiet())).rejects.toThrow(/longer/)
    await expect(volumes.import({ name: 'n' }, long(), quiet())).rejects.toThrow(/--size/)
    await volumes.attach(id, {})
    await expect(volumes.import({ name: 'v' }, long(), quiet())).rejects.toThrow(/attached/)
    await expect(volumes.export(id, join(dir, 'x'), quiet())).rejects.toThrow(/attached/)
  })

  it('works on a volume with one operation at a time', async () => {
    const { id } = await mesh.gate.volumes.create({ name: 'v', sizeBytes: MiB })
    const results = await Promise.allSettled([
      mesh.gate.volumes.attach(id, {}),
      mesh.gate.volumes.remove(id, { force: false })
    ])
    const refused = results.flatMap(r => (r.status === 'rejected' ? [r.reason] : []))
    expect(refused.every(reason => isFault(reason, 'CONFLICT'))).toBe(true)
    expect(refused).toHaveLength(1)
  })
})

function quiet(): TransferOptions {
  return { onProgress: () => undefined, signal: new AbortController().signal }
}

async function sparseImage(path: string): Promise<string> {
  await writeFile(path, randomBytes(1_500_001))
  await truncate(path, 40 * MiB + 4096)
  return path
}

async function digestOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function* breaking(): AsyncGenerator<Uint8Array> {
  yield randomBytes(MiB)
  throw new Error('the cable was pulled')
}
