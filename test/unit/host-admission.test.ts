// Goal: members find and trust each other over real sockets; nobody else gets or learns anything.
// Method: real libp2p hosts on loopback, with honest and dishonest diallers.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { systemClock, systemRandom } from '../../node/clock.ts'
import { createHost } from '../../node/host/host.ts'
import { PARTIAL_MESH_PEERS } from '../../node/limits.ts'
import { makeIdentity } from '../../node/members/identity.ts'
import { isFault } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Member } from '../support/host-mesh.ts'
import { HostMesh, shiftedClock, silentLog, until } from '../support/host-mesh.ts'

let mesh = new HostMesh()
afterEach(async () => {
  await mesh.close()
  mesh = new HostMesh()
})

const textSchema = z.object({ text: z.string() })

function serveEcho(member: Member): void {
  member.rpc.serve('/test/echo/1', textSchema, async (from, { text }) => ({
    text: `${text} ${from}`
  }))
}

function callEcho(from: Member, to: Member): Promise<{ text: string }> {
  return from.rpc.call(to.identity.id, '/test/echo/1', { text: 'hello' }, textSchema)
}

describe('two members', () => {
  for (const encryption of ['tls', 'noise'] as const) {
    it(`join, connect and call each other over ${encryption}`, async () => {
      const a = await mesh.init('first', { encryption: [encryption] })
      const b = await mesh.grow(a, 'second', { encryption: [encryption] })
      serveEcho(a)
      await mesh.connect(a, b)
      expect((await callEcho(b, a)).text).toBe(`hello ${b.identity.id}`)
      expect(a.members.certificateOf(b.identity.id)?.name).toBe('second')
      await until(() => b.host.roundTripMs(a.identity.id) !== undefined)
    })
  }

  it('gossip to each other, and hear nothing of topics that they did not name', async () => {
    const a = await mesh.init('first', { topics: ['news'] })
    const b = await mesh.grow(a, 'second', { topics: ['news'] })
    const heard: string[] = []
    b.host.subscribe('news', (from, bytes) => heard.push(`${from} ${Buffer.from(bytes)}`))
    a.host.subscribe('news', () => {})
    await mesh.connect(a, b)
    const said = (): Promise<void> => a.host.publish('news', randomText())
    await until(() => {
      void said()
      return heard.length > 0
    })
    expect(heard[0]).toContain(a.identity.id)
    expect(() => b.host.subscribe('late topic', () => {})).toThrow(/topic is named before/)
  })

  it('find each other again after one restarted on another port', async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    await mesh.connect(a, b)
    await b.stop()
    await until(() => a.host.peers().length === 0)
    const again = await mesh.start(b.dir, b.identity)
    again.host.setKnownPeers([{ id: a.identity.id, addresses: a.host.addresses() }])
    await until(() => a.host.peers().length === 1 && again.host.peers().length === 1)
  })

  it('open a stream on demand to a member that they are not connected to', async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    serveEcho(a)
    const others = Array.from({ length: PARTIAL_MESH_PEERS }, (_, i) => ({
      id: `${a.identity.id.slice(0, -3)}${String(i).padStart(3, 'z')}` as NodeId,
      addresses: []
    }))
    b.host.setKnownPeers([...others, { id: a.identity.id, addresses: a.host.addresses() }])
    expect((await callEcho(b, a)).text).toContain('hello')
  })
})

describe('a dozen members at one address', () => {
  it('connect all to all at once, and gossip reaches every one', async () => {
    const topics = ['news']
    const first = await mesh.init('first', { topics })
    const names = Array.from({ length: 11 }, (_, i) => `n${i}`)
    const others = await Promise.all(names.map(name => mesh.grow(first, name, { topics })))
    const heard = new Set<NodeId>()
    for (const one of others) one.host.subscribe('news', () => heard.add(one.identity.id))
    first.host.subscribe('news', () => {})
    await mesh.connect(first, ...others)
    await until(() => {
      void first.host.publish('news', randomText())
      return heard.size === others.length
    })
  }, 40_000)
})

describe('a stranger', () => {
  it('with a certificate of another mesh is refused, and sees no certificate', async () => {
    const a = await mesh.init()
    const foreign = await mesh.init('foreign')
    foreign.host.setKnownPeers([{ id: a.identity.id, addresses: a.host.addresses() }])
    serveEcho(a)
    await expect(callEcho(foreign, a)).rejects.toThrow(/only members are let in/)
    expect(a.host.peers()).toEqual([])
    expect(foreign.members.certificateOf(a.identity.id)).toBeUndefined()
  })

  it("with a member's certificate but another key is refused", async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    const thief = await createHost({
      seed: randomBytes(32),
      listen: [],
      gate: {
        hello: () => ({ kind: 'member', chain: b.identity.chain }),
        answer: async () => ({ kind: 'welcome', chain: b.identity.chain }),
        conclude: async (_peer, answer) => {
          if (answer.kind !== 'welcome') throw new Error(JSON.stringify(answer))
        },
        standing: () => 'member'
      },
      clock: systemClock,
      random: systemRandom,
      log: silentLog
    })
    await thief.start()
    thief.setKnownPeers([{ id: a.identity.id, addresses: a.host.addresses() }])
    await expect(thief.open(a.identity.id, '/test/echo/1')).rejects.toThrow(/NOT_A_MEMBER/)
    expect(a.host.peers()).toEqual([])
    await thief.stop()
  })

  it('that sends random bytes disturbs nobody', async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    serveEcho(a)
    await mesh.connect(a, b)
    const [address] = a.host.addresses()
    const port = Number(
      multiaddr(address)
        .getComponents()
        .find(part => part.name === 'tcp')?.value
    )
    const ended = Array.from({ length: 50 }, (_, i) => rawBytes(port, randomBytes(1 + i * 37)))
    await Promise.all(ended)
    expect((await callEcho(b, a)).text).toContain('hello')
    expect(a.host.peers()).toEqual([b.identity.id])
  })
})

describe('a revoked member', () => {
  it('is cut off on its open connection, and stays out', async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    serveEcho(a)
    await mesh.connect(a, b)
    a.host.handle('/test/hold/1', () => {})
    const stream = await b.host.open(a.identity.id, '/test/hold/1')
    const closed = new Promise<Error | undefined>(resolve => stream.onClose(resolve))
    await a.members.revoke(b.identity.id)
    expect(await closed).toBeInstanceOf(Error)
    await until(() => a.host.peers().length === 0)
    await until(() => b.host.peers().length === 0)
    await expect(callEcho(b, a)).rejects.toThrow(/revoked/)
    const again = await restarted(a)
    b.host.setKnownPeers([{ id: a.identity.id, addresses: again.host.addresses() }])
    serveEcho(again)
    await expect(callEcho(b, again)).rejects.toThrow(/revoked/)
  })

  it('is cut off by a third member too, once that one hears of it', async () => {
    const a = await mesh.init()
    const b = await mesh.grow(a, 'second')
    const c = await mesh.grow(a, 'third')
    await mesh.connect(a, b, c)
    const signed = await a.members.revoke(b.identity.id)
    expect(c.host.peers()).toContain(b.identity.id)
    expect(await c.members.applyRevocation(signed)).toBe(true)
    expect(await c.members.applyRevocation(signed)).toBe(false)
    await until(() => !c.host.peers().includes(b.identity.id))
    expect(c.host.peers()).toContain(a.identity.id)
    await expect(b.members.revoke(a.identity.id)).rejects.toSatisfy(error =>
      isFault(error, 'NOT_ADMIN')
    )
  })
})

describe('an expired member', () => {
  it('is let in only to renew, and then is a member again', async () => {
    const { clock, shift } = shiftedClock()
    const a = await mesh.init('first', { clock })
    const b = await mesh.grow(a, 'second', { clock })
    serveEcho(a)
    shift(91 * 24 * 3600 * 1000)
    expect(b.members.isExpired()).toBe(true)
    b.host.setKnownPeers([{ id: a.identity.id, addresses: a.host.addresses() }])
    await until(() => b.host.peers().length === 1)
    expect(b.members.isExpired()).toBe(false)
    expect((await callEcho(b, a)).text).toContain('hello')
  })

  it('is refused by a member that is no admin', async () => {
    const { clock, shift } = shiftedClock()
    const a = await mesh.init('first', { clock })
    const b = await mesh.grow(a, 'second', { clock })
    const c = await mesh.grow(a, 'third', { clock })
    shift(91 * 24 * 3600 * 1000)
    c.host.setKnownPeers([{ id: b.identity.id, addresses: b.host.addresses() }])
    await expect(c.host.open(b.identity.id, '/test/echo/1')).rejects.toThrow(/admin/)
    expect(b.host.peers()).toEqual([])
  })
})

describe('a member whose certificate ages', () => {
  it('renews it in the last third of its life from a connected admin', async () => {
    const { clock, shift } = shiftedClock()
    const a = await mesh.init('first', { clock })
    const identity = await mesh.join(a, 'second', clock)
    const aged = makeIdentity(identity.seed, identity.mesh, identity.chain, identity)
    shift(70 * 24 * 3600 * 1000)
    const dir = await mesh.directory()
    const manual = manualTimers(clock)
    const b = await mesh.start(dir, aged, { clock: manual.clock })
    await mesh.connect(a, b)
    const before = b.members.identity().certificate.expiresAt
    await until(() => {
      manual.runDue()
      return b.members.identity().certificate.expiresAt > before
    })
    expect(b.members.identity().name).toBe('second')
  })
})

describe('a host', () => {
  it('says in words that its port is taken', async () => {
    const a = await mesh.init()
    const identity = await mesh.join(a, 'second')
    const started = mesh.start(await mesh.directory(), identity, { listen: a.host.addresses() })
    await expect(started).rejects.toThrow(/port \d+ is taken/)
    await expect(started).rejects.toSatisfy(error => isFault(error, 'PORT_TAKEN'))
  })
})

async function restarted(member: Member): Promise<Member> {
  await member.stop()
  return mesh.start(member.dir, member.identity)
}

/** The minute between two looks at the certificate passes when the test says so. */
function manualTimers(clock: typeof systemClock) {
  const waiting: Array<() => void> = []
  return {
    clock: {
      ...clock,
      after: (delayMs: number, task: () => void) => {
        if (delayMs < 60_000) return clock.after(delayMs, task)
        waiting.push(task)
        return { cancel: () => {} }
      }
    },
    runDue: () => {
      for (const task of waiting.splice(0)) task()
    }
  }
}

function randomText(): Uint8Array {
  return Buffer.from(randomBytes(8).toString('hex'))
}

/** Resolves when the other side closed, which it must within its own time-outs. */
function rawBytes(port: number, bytes: Buffer): Promise<void> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.end(bytes))
    socket.on('error', () => {})
    socket.resume()
    socket.on('close', () => resolve())
  })
}
