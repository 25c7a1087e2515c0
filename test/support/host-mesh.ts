/**
 * Real hosts on loopback, in one process and temporary directories: for tests of what only libp2p,
 * TLS and TCP can show. Everything is stopped and removed by `close`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemRandom } from '../../node/clock.ts'
import type { Host } from '../../node/host/host.ts'
import { createHost } from '../../node/host/host.ts'
import type { Encryption } from '../../node/host/libp2p.ts'
import type { Identity } from '../../node/members/identity.ts'
import { initMesh } from '../../node/members/init.ts'
import { joinMesh } from '../../node/members/join.ts'
import type { Members } from '../../node/members/members.ts'
import { createMembers } from '../../node/members/members.ts'
import type { Clock, Log } from '../../node/ports.ts'
import type { RpcNode } from '../../node/rpc/rpc.ts'
import { createRpc } from '../../node/rpc/rpc.ts'

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export interface Member {
  readonly dir: string
  readonly identity: Identity
  readonly host: Host
  readonly rpc: RpcNode
  readonly members: Members
  readonly stop: () => Promise<void>
}

export interface StartOptions {
  readonly clock?: Clock
  readonly encryption?: readonly Encryption[]
  readonly topics?: readonly string[]
  readonly listen?: readonly string[]
}

/** A wall clock that can be set; durations stay real. */
export function shiftedClock(): { clock: Clock; shift: (ms: number) => void } {
  let offsetMs = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + offsetMs }
  return {
    clock,
    shift: ms => {
      offsetMs += ms
    }
  }
}

export class HostMesh {
  readonly #dirs: string[] = []
  readonly #running = new Set<Member>()

  async directory(): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'shoal-host-'))
    this.#dirs.push(dir)
    return dir
  }

  choices(dir: string, name: string, region = 'north') {
    return {
      dir,
      name,
      region,
      host: name,
      capacityBytes: 0,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      clock: systemClock,
      random: systemRandom
    }
  }

  /** A new mesh and its first admin, started. */
  async init(name = 'first', options: StartOptions = {}): Promise<Member> {
    const dir = await this.directory()
    const { identity } = await initMesh({ ...this.choices(dir, name), passphrase: 'tide' })
    return this.start(dir, identity, options)
  }

  /** Joins through `issuer`, not started. */
  async join(
    issuer: Member,
    name: string,
    clock: Clock = systemClock,
    into?: string
  ): Promise<Identity> {
    const dir = into ?? (await this.directory())
    const token = issuer.members.createInvite().text
    const choices = { ...this.choices(dir, name), clock, log: silentLog }
    return joinMesh({ ...choices, token, newRegion: false })
  }

  /** Joins through `issuer` and starts. */
  async grow(issuer: Member, name: string, options: StartOptions = {}): Promise<Member> {
    const dir = await this.directory()
    return this.start(dir, await this.join(issuer, name, systemClock, dir), options)
  }

  async start(dir: string, identity: Identity, options: StartOptions = {}): Promise<Member> {
    const clock = options.clock ?? systemClock
    const common = { clock, random: systemRandom, log: silentLog }
    const running = this.#running
    const members = await createMembers({
      ...common,
      dir,
      identity,
      knowledge: {
        regions: () => [...running].map(member => member.identity.region),
        isNameTaken: () => false,
        isKnown: () => false,
        peers: () =>
          [...running].map(member => ({
            id: member.identity.id,
            addresses: member.host.addresses()
          }))
      }
    })
    const host = await createHost({
      ...common,
      seed: identity.seed,
      listen: options.listen ?? identity.listen,
      gate: members,
      ...(options.topics === undefined ? {} : { topics: options.topics }),
      ...(options.encryption === undefined ? {} : { encryption: options.encryption })
    })
    const rpc = createRpc({ ...common, network: host })
    members.attach(host, rpc)
    await host.start()
    const stop = async (): Promise<void> => {
      running.delete(member)
      members.stop()
      await host.stop()
    }
    const member: Member = { dir, identity, host, rpc, members, stop }
    running.add(member)
    return member
  }

  /** Tells everyone where everyone is, and waits until all are connected. */
  async connect(...members: Member[]): Promise<void> {
    const known = members.map(one => ({ id: one.identity.id, addresses: one.host.addresses() }))
    for (const one of members) one.host.setKnownPeers(known)
    await until(() => members.every(one => one.host.peers().length >= members.length - 1), 20_000)
  }

  async close(): Promise<void> {
    for (const member of [...this.#running]) await member.stop()
    for (const dir of this.#dirs) await rm(dir, { recursive: true, force: true })
  }
}

/** Waits for a state, not for a time; fails after `withinMs`. */
export async function until(condition: () => boolean, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the state was not reached in time')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
