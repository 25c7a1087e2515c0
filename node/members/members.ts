/**
 * Membership of this node: the gate of its host, the renewal of its certificate, and the
 * enforcement of revocations.
 *
 *   gate     hello/answer/conclude of admission      every connection, both sides
 *   renew    /shoal/renew/1 in the last third of life, or inside admission once expired
 *   revoke   signed -> in force here -> durable -> announced by the map -> in force everywhere
 *
 * Invariants: whoever is `member` showed a chain up to the mesh key, for its proven peer id; a
 * revocation is in force, and open connections are ended, before it is announced; our own chain
 * goes only to those who were verified; a new certificate is durable before it is used.
 */
import type { z } from 'zod'
import type { Certificate, Chain, Role } from '../../protocols/admission/certificate.ts'
import { isDueForRenewal, judgeChain, readChain } from '../../protocols/admission/certificate.ts'
import type { Answer, Hello } from '../../protocols/admission/messages.ts'
import { RENEW_PROTOCOL, refusal, refusalError } from '../../protocols/admission/messages.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Gate, Standing } from '../host/gate.ts'
import type { Host } from '../host/host.ts'
import { RENEW_CHECK_MS } from '../limits.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { Identity } from './identity.ts'
import { makeIdentity, saveIdentity } from './identity.ts'
import { InviteLedger } from './invite-ledger.ts'
import type { IssuedInvite, MeshKnowledge } from './issuer.ts'
import { Issuer } from './issuer.ts'
import { renewAnswerSchema, renewRequestSchema } from './renew.ts'
import { RevocationStore } from './revocation-store.ts'

export interface MembersOptions {
  readonly dir: string
  readonly identity: Identity
  readonly knowledge: MeshKnowledge
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Reads DIR/revocations and DIR/used-invites.json. Throws ShoalError DATA_DIR. */
export async function createMembers(options: MembersOptions): Promise<Members> {
  const ledger = await InviteLedger.load(options.dir)
  const revocations = await RevocationStore.load(options.dir, options.identity.mesh)
  return new Members(options, ledger, revocations)
}

export class Members implements Gate {
  readonly #options: MembersOptions
  readonly #issuer: Issuer
  readonly #revocations: RevocationStore
  /** Members that have been verified since the start, with their certificates. */
  readonly #verified = new Map<NodeId, readonly Certificate[]>()
  readonly #revokedListeners: Array<(peer: NodeId) => void> = []
  #identity: Identity
  #host: Host | undefined
  #rpc: Rpc | undefined
  #timer: Timer | undefined
  #warnedExpired = false

  constructor(options: MembersOptions, ledger: InviteLedger, revocations: RevocationStore) {
    this.#options = options
    this.#identity = options.identity
    this.#revocations = revocations
    const identity = (): Identity => this.#identity
    const isRevoked = (peer: NodeId): boolean => this.isRevoked(peer)
    this.#issuer = new Issuer({ ...options, identity, ledger, isRevoked })
  }

  /** Ties membership to the host that it guards; once, before the host starts. */
  attach(host: Host, rpc: Rpc): void {
    this.#host = host
    this.#rpc = rpc
    rpc.serve(RENEW_PROTOCOL, renewRequestSchema, async (from, { chain }) => {
      const answer = this.#issuer.renew(from, chain)
      return answer.kind === 'renewed' ? { chain: [...answer.chain] } : { chain: undefined }
    })
    this.#scheduleCheck(0)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  // -- what others ask

  identity(): Identity {
    return this.#identity
  }

  /** Expired: keeps serving what is attached, and refuses to attach anew. */
  isExpired(): boolean {
    return this.#identity.certificate.expiresAt <= this.#options.clock.now()
  }

  isAdmin(): boolean {
    return this.#issuer.isAble()
  }

  isRevoked(peer: NodeId): boolean {
    return this.#revocations.inForce.has(peer)
  }

  /** The certificate with which `peer` was let in, if it was since the start. */
  certificateOf(peer: NodeId): Certificate | undefined {
    return this.#verified.get(peer)?.[0]
  }

  /** Throws ShoalError NOT_ADMIN, EXPIRED or BAD_INPUT. */
  createInvite(options: { role?: Role; ttlMs?: number } = {}): IssuedInvite {
    return this.#issuer.invite(this.#host?.addresses() ?? [], options)
  }

  /**
   * Revokes `peer`, here and then, by the returned bytes, everywhere. `since` (default now): what
   * it issued as an admin from then on is void; 0 after its key was stolen. Throws NOT_ADMIN.
   */
  async revoke(peer: NodeId, options: { since?: number } = {}): Promise<Uint8Array> {
    const bytes = this.#issuer.revoke(peer, options.since ?? this.#options.clock.now())
    await this.applyRevocation(bytes)
    return bytes
  }

  /** From the map or another member. True if it was new and good; in force when it returns. */
  async applyRevocation(bytes: Uint8Array): Promise<boolean> {
    const added = this.#revocations.add(bytes)
    if (added === undefined) return false
    this.#enforce()
    const { revocation, durable } = added
    this.#options.log.warn({ peer: revocation.peer, by: revocation.issuer }, 'a member is revoked')
    for (const listener of this.#revokedListeners) listener(revocation.peer)
    await durable
    return true
  }

  /** Signed originals, for the map to announce. */
  revocations(): ReadonlyMap<NodeId, Uint8Array> {
    return this.#revocations.signed()
  }

  onRevoked(listener: (peer: NodeId) => void): void {
    this.#revokedListeners.push(listener)
  }

  // -- the gate

  standing(peer: NodeId): Standing {
    if (this.isRevoked(peer)) return 'revoked'
    return this.#verified.has(peer) ? 'member' : 'unknown'
  }

  hello(): Hello {
    const { chain } = this.#identity
    return { kind: this.isExpired() ? 'renew' : 'member', chain }
  }

  async answer(peer: NodeId, hello: Hello): Promise<Answer> {
    if (this.isRevoked(peer)) return refusal({ code: 'REVOKED', peer }, REVOKED_WORDS)
    if (hello.kind === 'join') return this.#issuer.redeem(peer, hello)
    const problem = this.#verify(peer, hello.chain)
    if (hello.kind === 'member') {
      return problem ?? { kind: 'welcome', chain: this.#identity.chain }
    }
    const isExpired = problem === undefined || problem.fault.code === 'EXPIRED'
    return isExpired ? this.#issuer.renew(peer, hello.chain) : problem
  }

  async conclude(peer: NodeId, answer: Answer): Promise<void> {
    if (answer.kind === 'refused') throw refusalError(answer)
    if (answer.kind === 'renewed') {
      await this.#adopt(answer.chain)
      throw new ShoalError({ code: 'CLOSED' }, 'the certificate was renewed: dial again')
    }
    const problem = this.#verify(peer, answer.chain)
    if (problem !== undefined) throw refusalError(problem)
    if (answer.kind !== 'welcome') {
      throw new ShoalError({ code: 'BAD_MESSAGE', protocol: 'admission' }, 'we did not ask to join')
    }
  }

  /** Remembers `peer` as a member, or says why it is none. Strangers learn nothing from it. */
  #verify(peer: NodeId, chain: Chain): Extract<Answer, { kind: 'refused' }> | undefined {
    const read = readChain(chain, this.#identity.mesh)
    if (typeof read === 'string' || read[0]?.peer !== peer) {
      return refusal({ code: 'NOT_A_MEMBER' }, 'only members are let in here')
    }
    const judged = judgeChain(read, this.#revocations.inForce, this.#options.clock.now())
    if (judged === 'revoked') return refusal({ code: 'REVOKED', peer }, REVOKED_WORDS)
    if (judged === 'expired') {
      const at = read[0].expiresAt
      return refusal({ code: 'EXPIRED', at }, 'the certificate has expired: an admin renews it')
    }
    this.#verified.set(peer, read)
    return undefined
  }

  // -- enforcement and renewal

  /** Ends the connections of all whom a revocation voids, themselves or through their issuers. */
  #enforce(): void {
    for (const [peer, chain] of [...this.#verified]) {
      if (judgeChain(chain, this.#revocations.inForce, 0) !== 'revoked') continue
      this.#verified.delete(peer)
      this.#host?.disconnect(peer, `${peer} is revoked`)
    }
  }

  #scheduleCheck(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => {
      void this.#check().finally(() => this.#scheduleCheck(RENEW_CHECK_MS))
    })
  }

  async #check(): Promise<void> {
    const { clock, log } = this.#options
    const { certificate } = this.#identity
    if (this.isExpired() && !this.#warnedExpired) {
      this.#warnedExpired = true
      log.warn(
        { expiredAt: certificate.expiresAt },
        'the certificate has expired: no admin renewed it'
      )
    }
    if (!isDueForRenewal(certificate, clock.now())) return
    for (const peer of this.#host?.peers() ?? []) {
      const isAdmin = this.certificateOf(peer)?.role === 'admin'
      if (isAdmin && (await this.#renewAt(peer))) return
    }
  }

  async #renewAt(admin: NodeId): Promise<boolean> {
    try {
      const request: z.infer<typeof renewRequestSchema> = { chain: [...this.#identity.chain] }
      const answer = await this.#rpc?.call(admin, RENEW_PROTOCOL, request, renewAnswerSchema)
      if (answer?.chain === undefined) return false
      await this.#adopt(answer.chain)
      return true
    } catch (error) {
      this.#options.log.warn({ admin, error: messageOf(error) }, 'the certificate was not renewed')
      return false
    }
  }

  /** Takes a new certificate that is longer good than ours; anything else is not believed. */
  async #adopt(chain: Chain): Promise<void> {
    const { seed, mesh, host, capacityBytes, listen, announce } = this.#identity
    const settings = { host, capacityBytes, listen, announce }
    const renewed = makeIdentity(seed, mesh, chain, settings)
    const { certificate } = this.#identity
    const isSame = renewed.name === certificate.name && renewed.region === certificate.region
    if (!isSame || renewed.certificate.expiresAt <= certificate.expiresAt) {
      throw new ShoalError(
        { code: 'BAD_MESSAGE', protocol: RENEW_PROTOCOL },
        'no better certificate'
      )
    }
    await saveIdentity(this.#options.dir, renewed)
    this.#identity = renewed
    this.#warnedExpired = false
    this.#options.log.info({ until: renewed.certificate.expiresAt }, 'the certificate was renewed')
  }
}

const REVOKED_WORDS = 'this node was revoked: it can return only with a new identity, by a new join'

/** True for what a dialler throws when it was turned away for good, not by the weather. */
export function isTurnedAway(error: unknown): boolean {
  return isFault(error, 'NOT_A_MEMBER', 'REVOKED', 'EXPIRED', 'FOREIGN_MESH')
}
