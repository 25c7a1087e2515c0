/**
 * What an admin does: invites, lets the invited in, renews and revokes. Pure of the network: the
 * gate (members.ts) brings the requests, already tied to a proven peer id.
 *
 * Invariants: nothing is signed unless our own certificate is an admin's and valid now; an invite
 * lets in one peer, recorded durably before its certificate is answered; every certificate is
 * issued at an instant that our own one covers, and never makes a chain that others refuse.
 */
import type { Certificate, Chain, Role } from '../../protocols/admission/certificate.ts'
import { issueCertificate, readChain } from '../../protocols/admission/certificate.ts'
import type { Invite } from '../../protocols/admission/invite.ts'
import {
  INVITE_SECRET_BYTES,
  inviteMark,
  inviteText,
  readInvite,
  signInvite
} from '../../protocols/admission/invite.ts'
import {
  ADMIN_CERTIFICATE_MS,
  DEFAULT_INVITE_MS,
  MAX_CHAIN_CERTIFICATES,
  MAX_INVITE_MS,
  MAX_JOIN_PEERS,
  NODE_CERTIFICATE_MS
} from '../../protocols/admission/limits.ts'
import type { Answer, JoinRequest, KnownPeer } from '../../protocols/admission/messages.ts'
import { refusal } from '../../protocols/admission/messages.ts'
import { signRevocation } from '../../protocols/admission/revocation.ts'
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import type { Clock, Random } from '../ports.ts'
import type { Identity } from './identity.ts'
import { badInput } from './init.ts'
import type { InviteLedger } from './invite-ledger.ts'

export interface MeshKnowledge {
  /** Regions that nodes of the mesh have named. */
  readonly regions: () => readonly string[]
  /** Whether another node than `peer` has this name. */
  readonly isNameTaken: (name: string, peer: NodeId) => boolean
  /** Whether the map has an entry of `peer`, even of one that left: then the map knows its name. */
  readonly isKnown?: (peer: NodeId) => boolean
  /** Members and where they are, nearest to the truth that is known here; ourselves included. */
  readonly peers: () => readonly KnownPeer[]
}

export interface IssuerOptions {
  readonly identity: () => Identity
  readonly ledger: InviteLedger
  readonly knowledge: MeshKnowledge
  readonly isRevoked: (peer: NodeId) => boolean
  readonly clock: Clock
  readonly random: Random
}

export interface IssuedInvite {
  /** What the invited node's owner pastes. */
  readonly text: string
  readonly expiresAt: number
}

export class Issuer {
  readonly #options: IssuerOptions
  /** One redemption at a time: two bearers of one invite must not pass side by side. */
  #redeeming: Promise<unknown> = Promise.resolve()

  constructor(options: IssuerOptions) {
    this.#options = options
  }

  /** Whether our certificate lets us sign for others now. */
  isAble(): boolean {
    const { certificate, chain } = this.#options.identity()
    const isLive = certificate.expiresAt > this.#options.clock.now()
    return certificate.role === 'admin' && isLive && chain.length < MAX_CHAIN_CERTIFICATES
  }

  /** Throws ShoalError NOT_ADMIN, EXPIRED or BAD_INPUT. */
  invite(
    addresses: readonly string[],
    { role = 'node', ttlMs = DEFAULT_INVITE_MS }: { role?: Role; ttlMs?: number }
  ): IssuedInvite {
    this.#assertAble()
    if (!Number.isSafeInteger(ttlMs) || ttlMs <= 0 || ttlMs > MAX_INVITE_MS) {
      throw badInput('ttl', 'an invite lives between a moment and 30 days')
    }
    const { key, id, mesh } = this.#options.identity()
    const issuedAt = this.#options.clock.now()
    const invite: Invite = {
      mesh,
      issuer: id,
      role,
      addresses: addresses.slice(0, MAX_ADDRESSES),
      secret: new Uint8Array(this.#options.random.bytes(INVITE_SECRET_BYTES)),
      issuedAt,
      expiresAt: issuedAt + ttlMs
    }
    return { text: inviteText(signInvite(key, invite)), expiresAt: invite.expiresAt }
  }

  redeem(peer: NodeId, request: JoinRequest): Promise<Answer> {
    const redeemed = this.#redeeming.then(() => this.#redeem(peer, request))
    this.#redeeming = redeemed.catch(() => {})
    return redeemed
  }

  async #redeem(peer: NodeId, request: JoinRequest): Promise<Answer> {
    const { identity, ledger, clock } = this.#options
    const invite = readInvite(request.invite)
    if (invite === 'BAD_MESSAGE' || invite === 'BAD_SIGNATURE') {
      return refusal({ code: 'BAD_SIGNATURE' }, 'the invite was altered: paste it again, whole')
    }
    if (invite.mesh !== identity().mesh || invite.issuer !== identity().id) {
      return refusal({ code: 'FOREIGN_MESH' }, 'this invite is not one of this node and mesh')
    }
    const mark = inviteMark(invite)
    const used = ledger.find(mark)
    if (used?.peer === peer) return this.#joined(used.chain)
    if (used !== undefined) {
      return refusal(
        { code: 'INVITE_USED' },
        'the invite was used by another node: ask for a new one'
      )
    }
    if (invite.expiresAt <= clock.now()) {
      const at = invite.expiresAt
      return refusal({ code: 'EXPIRED', at }, 'the invite has expired: ask for a new one')
    }
    if (!this.isAble()) return refusal({ code: 'NOT_ADMIN' }, 'this node may not let others in now')
    const problem = this.#placeProblem(peer, request)
    if (problem !== undefined) return problem
    const { name, region } = request
    const chain = this.#issue(peer, { role: invite.role, name, region })
    const entry = { mark, peer, name, region, chain, expiresAt: invite.expiresAt }
    await ledger.record(entry, clock.now())
    return this.#joined(chain)
  }

  /** A new certificate with the same role, name and region; `chain` is the present one. */
  renew(peer: NodeId, chain: Chain): Answer {
    if (!this.isAble()) return refusal({ code: 'NOT_ADMIN' }, 'only an admin renews certificates')
    const read = readChain(chain, this.#options.identity().mesh)
    const present = typeof read === 'string' ? undefined : read[0]
    if (present === undefined || present.peer !== peer) {
      return refusal({ code: 'NOT_A_MEMBER' }, 'this certificate is not one of yours and ours')
    }
    return { kind: 'renewed', chain: this.#issue(peer, present) }
  }

  /** Signed bytes for RevocationStore. Throws ShoalError NOT_ADMIN or EXPIRED. */
  revoke(peer: NodeId, since: number): Uint8Array {
    this.#assertAble()
    const { key, id, mesh, chain } = this.#options.identity()
    const at = this.#options.clock.now()
    return signRevocation(key, { mesh, peer, since, at, serial: this.#serial(), issuer: id }, chain)
  }

  #joined(chain: Chain): Answer {
    const peers = this.#options.knowledge.peers().slice(0, MAX_JOIN_PEERS)
    const bounded = peers.map(({ id, addresses }) => ({
      id,
      addresses: addresses.slice(0, MAX_ADDRESSES)
    }))
    return { kind: 'joined', chain, peers: bounded }
  }

  #placeProblem(peer: NodeId, request: JoinRequest): Answer | undefined {
    const { knowledge, ledger, identity, isRevoked } = this.#options
    const { name, region } = request
    // Those who joined here and have not been up yet: nobody but this ledger knows of them.
    const others = [...ledger.entries()].filter(
      entry =>
        entry.peer !== peer && !isRevoked(entry.peer) && knowledge.isKnown?.(entry.peer) !== true
    )
    const isTaken = name === identity().name || others.some(entry => entry.name === name)
    if (isTaken || knowledge.isNameTaken(name, peer)) {
      return refusal({ code: 'NAME_TAKEN', name }, `a node named ${name} exists: choose another`)
    }
    const regions = [
      identity().region,
      ...others.map(entry => entry.region),
      ...knowledge.regions()
    ]
    const known = [...new Set(regions)].sort().slice(0, 1024)
    if (request.newRegion || known.includes(region)) return undefined
    const words = `no node is in region ${region} yet; known: ${known.join(', ')}`
    return refusal({ code: 'UNKNOWN_REGION', region, known }, `${words}; --new-region makes it`)
  }

  #issue(
    peer: NodeId,
    { role, name, region }: Pick<Certificate, 'role' | 'name' | 'region'>
  ): Chain {
    const { key, id, mesh, chain, certificate } = this.#options.identity()
    assert(this.isAble(), 'only an admin with a valid certificate issues others')
    const issuedAt = Math.max(this.#options.clock.now(), certificate.issuedAt)
    const lifeMs = role === 'admin' ? ADMIN_CERTIFICATE_MS : NODE_CERTIFICATE_MS
    const issued: Certificate = {
      mesh,
      peer,
      role,
      region,
      name,
      issuedAt,
      expiresAt: issuedAt + lifeMs,
      serial: this.#serial(),
      issuer: id
    }
    return [issueCertificate(key, issued), ...chain]
  }

  #serial(): Nonce {
    return Buffer.from(this.#options.random.bytes(8)).toString('hex') as Nonce
  }

  #assertAble(): void {
    const { certificate, chain } = this.#options.identity()
    if (certificate.role !== 'admin' || chain.length >= MAX_CHAIN_CERTIFICATES) {
      throw new ShoalError(
        { code: 'NOT_ADMIN' },
        'only an admin may do this: run it on an admin node'
      )
    }
    if (certificate.expiresAt <= this.#options.clock.now()) {
      const words = 'the certificate of this node has expired: start it where another admin is up'
      throw new ShoalError({ code: 'EXPIRED', at: certificate.expiresAt }, words)
    }
  }
}
