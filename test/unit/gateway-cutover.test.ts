// Goal: a chunk passes from one shard to another while the volume is in use: no acknowledged change
// is lost, none is sent between the approval and the outcome, and it always comes to an end.
// Method: real shard servers and a real gateway in memory; the handoff is made by hand.
import { describe, expect, it } from 'vitest'
import { reclaim } from '../../protocols/handoff/records.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { HandoffByHand } from '../support/gateway-handoff.ts'
import { eventually, GatewayMesh, joined } from '../support/gateway-mesh.ts'
import { token } from '../support/shard-harness.ts'

const PLAIN = { fua: false }
const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte)

/** Stripe units of 16 KiB over three nodes: the first 16 KiB are column 0, on node 0. */
async function attached(sizeBytes = 4 * MiB) {
  const mesh = new GatewayMesh(3)
  const volume = await mesh.createVolume(1, sizeBytes)
  const gateway = mesh.gateway('vm-host')
  const device = await gateway.attach(volume)
  const [source, target] = [mesh.node(0), mesh.node(1)]
  const passing = { volume, source, target, gateway: gateway.id }
  const first = async (): Promise<number | undefined> =>
    joined(await device.read(0, BLOCK_BYTES))[0]
  const writesAt = (node: number): number => {
    const shard = mesh
      .node(node)
      .server.stats()
      .shards.find(one => one.volume === volume)
    return shard?.writeOperations ?? 0
  }
  const giveUp = (): void => void mesh.revocations.set(source.id, new Uint8Array())
  return { mesh, volume, gateway, device, source, target, passing, first, writesAt, giveUp }
}

describe('a cutover', () => {
  it('switches the chunk, and only it, to the target', async () => {
    const { gateway, device, passing, first, writesAt } = await attached()
    await device.write(0, Buffer.alloc(2 * MiB, 1), PLAIN)
    await device.write(0, block(2), PLAIN)
    const kept = device.stats().replayEntries
    const epoch = await new HandoffByHand(passing).pass()
    expect(epoch).toEqual({ token: device.token, counter: 1 })
    expect(device.stats().replayEntries).toBeLessThan(kept)
    expect(await first()).toBe(2)
    const before = [writesAt(0), writesAt(1)]
    await device.write(0, block(3), PLAIN)
    expect([writesAt(0), writesAt(1)]).toEqual([before[0], (before[1] ?? 0) + 1])
    await device.write(MiB, block(4), PLAIN) // extent 1 stayed
    expect(writesAt(0)).toBe((before[0] ?? 0) + 1)
    expect(await first()).toBe(3)
    await device.flush()
    expect(device.stats().replayEntries).toBe(0)
    await gateway.close()
  })

  it('leaves a chunk on a new node that nothing was sent to: it learns of the detach all the same', async () => {
    const mesh = new GatewayMesh(3)
    const volume = await mesh.createVolume(1, MiB, { columns: 2 })
    const gateway = mesh.gateway('vm-host')
    const device = await gateway.attach(volume)
    const [source, target] = [mesh.node(0), mesh.node(2)]
    await new HandoffByHand({ volume, source, target, gateway: gateway.id }).pass()
    const holderAt = async (): Promise<string | undefined> => {
      const answer = await target.server.control({ call: 'query', volume })
      return answer.is === 'state' ? answer.state.holder?.node : answer.is
    }
    expect(await holderAt()).toBe(gateway.id)
    await device.detach()
    expect(await holderAt()).toBeUndefined()
    await gateway.close()
  })

  it('is approved once what is in flight was answered; newer changes wait, reads do not', async () => {
    const { gateway, device, source, target, passing, first } = await attached()
    await device.write(0, block(1), PLAIN)
    source.store.hold()
    const older = device.write(0, block(2), PLAIN)
    await eventually(() => source.store.heldCalls > 0)
    const handoff = new HandoffByHand(passing)
    let isApproved = false
    const approving = handoff.approved().finally(() => {
      isApproved = true
    })
    let isNewerDone = false
    await eventually(() => source.server.stats().inFlightRequests === 1)
    source.store.releaseOnly('read')
    expect(isApproved).toBe(false)
    source.store.release()
    await older
    const epoch = await approving
    const newer = device.write(0, block(3), PLAIN).finally(() => {
      isNewerDone = true
    })
    await device.write(16 * KiB, block(9), PLAIN) // another chunk
    expect(await first()).toBe(2) // from the source, still
    expect(isNewerDone).toBe(false)
    await handoff.commit(epoch)
    await handoff.settle({ is: 'released', to: target.id, epoch })
    await newer
    expect(await first()).toBe(3)
    await gateway.close()
  })

  it('is refused, and lifted, if what is in flight does not end in time', async () => {
    const { gateway, device, source, passing, first } = await attached()
    source.store.hold()
    const older = device.write(0, block(1), PLAIN)
    await eventually(() => source.store.heldCalls > 0)
    const answer = await new HandoffByHand(passing).approve()
    expect(answer).toMatchObject({ is: 'refused', why: expect.stringContaining('in time') })
    const newer = device.write(0, block(2), PLAIN)
    source.store.release()
    await Promise.all([older, newer])
    expect(await first()).toBe(2)
    await gateway.close()
  })

  it('is refused unless the source names what the gateway knows', async () => {
    const { mesh, gateway, device, target, passing } = await attached()
    const handoff = new HandoffByHand(passing)
    const ask = async (parts: Parameters<HandoffByHand['approve']>[0]): Promise<string> =>
      (await handoff.approve(parts)).is
    expect(await ask({ token: token(1) })).toBe('not-holder')
    expect(await ask({ epoch: { token: token(1), counter: 9 } })).toBe('refused')
    const other = { number: 7, nonce: '0000000000000007' as never }
    expect(await ask({ incarnation: other })).toBe('refused')
    expect(await ask({ chunk: { ...handoff.chunk, extent: 99 } })).toBe('refused')
    expect(await ask({ chunk: { ...handoff.chunk, generation: 1 } })).toBe('refused')
    expect(await ask({ target: passing.source.id })).toBe('refused')
    expect((await handoff.call(await handoff.wish(), target)).is).toBe('refused')
    const elsewhere = { ...handoff.chunk, volume: '99'.repeat(16) as never }
    expect(await ask({ chunk: elsewhere })).toBe('not-holder')
    mesh.mesh.cut(gateway.id, passing.source.id)
    mesh.mesh.heal(gateway.id, passing.source.id)
    expect(await ask({})).toBe('refused') // not connected yet
    await device.write(0, block(1), PLAIN)
    expect(await ask({})).toBe('approved')
    await handoff.settle({ is: 'aborted' })
    await gateway.close()
  })

  it('that was aborted changes nothing, and its id is not approved again', async () => {
    const { gateway, device, passing, first, writesAt } = await attached()
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    expect(await handoff.approved()).toEqual(epoch) // asked twice, answered the same
    const writing = device.write(0, block(5), PLAIN)
    await handoff.settle({ is: 'aborted' })
    await writing
    expect(await first()).toBe(5)
    expect(writesAt(0)).toBe(1)
    expect(await handoff.approve()).toMatchObject({ is: 'refused' })
    const next = new HandoffByHand(passing)
    expect(await next.approved()).toEqual({ ...epoch, counter: 2 })
    await next.settle({ is: 'aborted' })
    await gateway.close()
  })

  it('ends by asking the source, if the source does not tell', async () => {
    const { gateway, device, target, passing, first } = await attached()
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    const writing = device.write(0, block(5), PLAIN)
    await eventually(() => handoff.asked.length > 1)
    await handoff.commit(epoch)
    await writing
    expect(await first()).toBe(5)
    expect(await handoff.settle({ is: 'released', to: target.id, epoch })).toEqual({ is: 'noted' })
    await gateway.close()
  })

  it('is settled by its source alone, and only as it was approved', async () => {
    const { gateway, device, target, passing } = await attached()
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    let isDone = false
    const writing = device.write(0, block(5), PLAIN).then(() => {
      isDone = true
    })
    const { chunk } = handoff
    const aborted = { call: 'settled', chunk, outcome: { is: 'aborted' } } as const
    await handoff.call({ ...aborted, handoff: handoff.handoff }, target)
    await handoff.call({ ...aborted, handoff: 'ffffffffffffffff' as never })
    await handoff.settle({ is: 'released', to: target.id, epoch: { ...epoch, counter: 77 } })
    await device.flush()
    expect(isDone).toBe(false)
    await handoff.settle({ is: 'aborted' })
    await writing
    await gateway.close()
  })

  it('that its source committed and forgot with its power is no obstacle to the replay', async () => {
    const { mesh, gateway, device, source, passing, first } = await attached()
    await device.write(0, block(1), PLAIN) // of the chunk
    await device.write(MiB, block(2), PLAIN) // of another chunk of that shard
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    await handoff.commit(epoch)
    handoff.outcome = { is: 'open' } // what it answers to a change or a read is its word, too
    source.stop('power')
    source.start()
    handoff.serve()
    const other = device.read(MiB, BLOCK_BYTES)
    expect(joined(await other).equals(block(2))).toBe(true)
    expect(await first()).toBe(1)
    await device.write(0, block(3), PLAIN)
    expect(await first()).toBe(3)
    await device.flush()
    expect(mesh.node(1).server.stats().shards[0]?.flushes).toBeGreaterThan(0)
    await gateway.close()
  })

  it('lets a grow wait until it is over, and is not approved meanwhile', async () => {
    const { gateway, device, passing } = await attached()
    const handoff = new HandoffByHand(passing)
    await handoff.approved()
    const growing = device.grow(8 * MiB)
    const second = new HandoffByHand({ ...passing, extent: 1 })
    expect(await second.approve()).toMatchObject({ is: 'refused' })
    handoff.serve()
    expect(device.sizeBytes()).toBe(4 * MiB)
    await handoff.settle({ is: 'aborted' })
    await growing
    expect(device.sizeBytes()).toBe(8 * MiB)
    second.serve()
    expect((await second.approve()).is).toBe('approved')
    await second.settle({ is: 'aborted' })
    await gateway.close()
  })

  it('of a volume that another gateway takes over ends with the attachment', async () => {
    const { mesh, volume, gateway, device, passing } = await attached()
    const handoff = new HandoffByHand(passing)
    await handoff.approved()
    const writing = device.write(0, block(1), PLAIN)
    const failed = expect(writing).rejects.toMatchObject({ fault: { code: 'FENCED' } })
    const other = mesh.gateway('second-host')
    const next = await other.attach(volume, { takeOver: true })
    await failed
    await next.write(0, block(2), PLAIN)
    expect((await handoff.approve()).is).toBe('not-holder')
    await Promise.all([other.close(), gateway.close()])
  })
})

describe('a source that takes a released chunk back', () => {
  it('gets a new epoch, if the target lost the chunk before anybody used it', async () => {
    const { gateway, device, source, target, passing, first } = await attached()
    await device.write(0, block(1), PLAIN)
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    await handoff.release(epoch)
    await handoff.settle({ is: 'released', to: target.id, epoch }) // the target never held it
    const writing = device.write(0, block(2), PLAIN)
    await new Promise(resolve => setImmediate(resolve))
    const answer = await handoff.approve({ purpose: 'reclaim', epoch })
    expect(answer).toMatchObject({ is: 'approved', epoch: { counter: epoch.counter + 1 } })
    if (answer.is !== 'approved') return
    expect(await handoff.approve({ purpose: 'reclaim', epoch })).toEqual(answer)
    const { token: under, epoch: back } = answer
    await handoff.step(source, head => reclaim(head, handoff.handoff, under, back))
    await handoff.settle({ is: 'released', to: source.id, epoch: answer.epoch })
    await writing
    expect(await first()).toBe(2)
    await gateway.close()
  })

  it('is refused once the target has answered a change of the chunk', async () => {
    const { gateway, device, passing } = await attached()
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.pass()
    await device.write(0, block(2), PLAIN)
    expect(await handoff.approve({ purpose: 'reclaim', epoch })).toMatchObject({ is: 'refused' })
    await gateway.close()
  })
})

describe('a source that is given up', () => {
  it('leaves its chunk to the prepared target without loss, if the cutover is open', async () => {
    const { gateway, device, source, passing, first, giveUp } = await attached()
    await device.write(0, block(1), PLAIN)
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    await handoff.copy()
    await handoff.prepare(epoch)
    source.stop('kill')
    const writing = device.write(0, block(2), PLAIN)
    const granted = { token: epoch.token, counter: epoch.counter + 1 }
    giveUp()
    expect(await handoff.grant(false)).toEqual({ is: 'granted', epoch: granted })
    await writing
    expect(await first()).toBe(2)
    source.start()
    await gateway.close()
  })

  it('owes no flush any more once all of it is elsewhere', async () => {
    const { mesh, gateway, device, source, passing, first, giveUp } = await attached(MiB)
    await device.write(0, block(1), PLAIN)
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    await handoff.copy()
    await handoff.prepare(epoch)
    source.stop('kill')
    const flushing = Promise.all([device.flush(), device.flush()])
    giveUp()
    expect((await handoff.grant(false)).is).toBe('granted')
    await flushing
    expect(await first()).toBe(1)
    await eventually(() => device.stats().silent.length === 0)
    expect(device.stats().replayEntries).toBe(0)
    expect(mesh.node(0).isUp).toBe(false)
    await gateway.close()
  })

  it('otherwise only to whoever accepts the loss; what is kept for replay goes along', async () => {
    const { gateway, device, source, passing, first, giveUp } = await attached()
    await device.write(0, block(1), PLAIN)
    const handoff = new HandoffByHand(passing)
    await handoff.copy()
    await handoff.prepare({ token: device.token, counter: 1 }) // approved, and aborted since
    await device.write(0, block(2), PLAIN) // not in the copy
    source.stop('power')
    const writing = device.write(BLOCK_BYTES, block(3), PLAIN)
    const why = expect.stringContaining('--accept-loss')
    giveUp()
    expect(await handoff.grant(false)).toMatchObject({ is: 'refused', why })
    expect(await handoff.grant(true)).toMatchObject({ is: 'granted' })
    await writing
    expect(await first()).toBe(2)
    source.start()
    await gateway.close()
  })
})
