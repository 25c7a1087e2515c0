/**
 * Joining a mesh with an invite, before the daemon's first start: dials the issuer, presents the
 * invite inside admission, and keeps the certificate that comes back.
 *
 * Invariants: the key is durable before it is shown, so that a join that was cut off is retried as
 * the same peer and gets the same certificate; the issuer's identity is proven before it learns
 * the invite; the certificate is checked before it is kept.
 */
import '../host/polyfill.ts'
import { join } from 'node:path'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { judgeChain, readChain } from '../../protocols/admission/certificate.ts'
import type { Invite } from '../../protocols/admission/invite.ts'
import { parseInviteText, readInvite } from '../../protocols/admission/invite.ts'
import { KEY_BYTES } from '../../protocols/admission/keys.ts'
import type { Answer, KnownPeer } from '../../protocols/admission/messages.ts'
import { refusalError } from '../../protocols/admission/messages.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import { bindDataDirectory } from '../data-directory.ts'
import { parseAddresses } from '../host/dialler.ts'
import type { Gate } from '../host/gate.ts'
import { createNode } from '../host/libp2p.ts'
import { DIAL_TIMEOUT_MS } from '../limits.ts'
import type { Clock, Log, Random } from '../ports.ts'
import { readFileIfAny, removeFile, writeFileAtomic } from './files.ts'
import type { Identity } from './identity.ts'
import { makeIdentity, saveIdentity, savePeers } from './identity.ts'
import type { NodeChoices } from './init.ts'
import { badInput, checkChoices, prepareDirectory } from './init.ts'

export interface JoinOptions extends NodeChoices {
  /** The text of the invite. */
  readonly token: string
  /** The region may be one that no node is in yet. */
  readonly newRegion: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

type Joined = Extract<Answer, { kind: 'joined' }>

const JOINING_FILE = 'joining'

/**
 * Throws ShoalError BAD_INPUT, BAD_SIGNATURE, EXPIRED, FOREIGN_MESH, INVITE_USED, UNKNOWN_REGION,
 * NAME_TAKEN, DATA_DIR, or UNREACHABLE with what was tried.
 */
export async function joinMesh(options: JoinOptions): Promise<Identity> {
  checkChoices(options)
  const { sealed, invite } = readToken(options.token)
  await prepareDirectory(options.dir)
  const seed = await joiningSeed(options.dir, options.random)
  const joined = await present(seed, sealed, invite, options)
  const { host, capacityBytes, listen, announce, dir } = options
  const settings = { host, capacityBytes, listen, announce }
  const identity = makeIdentity(seed, invite.mesh, joined.chain, settings)
  await savePeers(dir, withIssuer(joined.peers, invite))
  await saveIdentity(dir, identity)
  bindDataDirectory(dir)
  await removeFile(join(dir, JOINING_FILE))
  return identity
}

/** The invite in a token. Throws ShoalError BAD_INPUT or BAD_SIGNATURE. */
export function readToken(token: string): { sealed: Uint8Array; invite: Invite } {
  const sealed = parseInviteText(token)
  if (sealed === undefined) {
    throw badInput('token', 'this is no invite of Shoal: it begins with shoal1 and is one word')
  }
  const invite = readInvite(sealed)
  if (typeof invite !== 'string') return { sealed, invite }
  const words = 'the invite was altered or cut: paste it again, whole'
  throw new ShoalError({ code: 'BAD_SIGNATURE' }, words)
}

/** The key of an earlier attempt in this directory, or a new one, durable. */
async function joiningSeed(dir: string, random: Random): Promise<Uint8Array> {
  const path = join(dir, JOINING_FILE)
  const kept = await readFileIfAny(path)
  if (kept?.length === KEY_BYTES) return new Uint8Array(kept)
  const seed = new Uint8Array(random.bytes(KEY_BYTES))
  await writeFileAtomic(path, seed)
  return seed
}

/** Dials all addresses of the issuer; what it answers arrives through the gate. */
async function present(
  seed: Uint8Array,
  sealed: Uint8Array,
  invite: Invite,
  options: JoinOptions
): Promise<Joined> {
  const { region, newRegion, name, host, clock } = options
  const hello = { kind: 'join', invite: sealed, region, newRegion, name, host } as const
  const outcome: { joined?: Joined; refused?: unknown } = {}
  /** Ends the dial: an answer came, or none will. */
  const over = new AbortController()
  const gate: Gate = {
    hello: () => hello,
    answer: async () => {
      throw new ShoalError({ code: 'CLOSED' }, 'a node that joins lets nobody in')
    },
    conclude: async (_issuer, answer) => {
      outcome.joined = checked(answer, invite, clock)
      throw new ShoalError({ code: 'CLOSED' }, 'joined')
    },
    standing: () => 'unknown'
  }
  const node = await createNode({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    listen: [],
    announce: [],
    gate,
    topics: [],
    encryption: ['tls', 'noise'],
    clock,
    onAdmissionError: (_issuer, error) => {
      if (!isFault(error)) return
      outcome.refused = error
      over.abort(error)
    }
  })
  await node.start()
  const timer = clock.after(DIAL_TIMEOUT_MS, () => over.abort(new Error('no answer in time')))
  try {
    await node.dial(parseAddresses(invite.issuer, invite.addresses), { signal: over.signal })
  } catch (cause) {
    if (outcome.joined === undefined && outcome.refused === undefined) {
      throw unreachable(invite, cause)
    }
  } finally {
    timer.cancel()
    await node.stop()
  }
  if (outcome.joined !== undefined) return outcome.joined
  throw outcome.refused
}

function checked(answer: Answer, invite: Invite, clock: Clock): Joined {
  if (answer.kind === 'refused') throw refusalError(answer)
  const read = answer.kind === 'joined' ? readChain(answer.chain, invite.mesh) : 'BAD_MESSAGE'
  if (answer.kind !== 'joined' || typeof read === 'string') {
    throw new ShoalError(
      { code: 'BAD_SIGNATURE' },
      'the issuer answered without a good certificate'
    )
  }
  if (judgeChain(read, new Map(), clock.now()) === 'expired') {
    const at = read[0]?.expiresAt ?? 0
    const words = 'the certificate that came back has expired already: is this clock right?'
    throw new ShoalError({ code: 'EXPIRED', at }, words)
  }
  return answer
}

function withIssuer(peers: readonly KnownPeer[], invite: Invite): KnownPeer[] {
  const others = peers.filter(peer => peer.id !== invite.issuer)
  return [{ id: invite.issuer, addresses: invite.addresses }, ...others]
}

function unreachable(invite: Invite, cause: unknown): ShoalError {
  const tried = invite.addresses.join(', ') || 'the invite names no address'
  return new ShoalError(
    { code: 'UNREACHABLE', peer: invite.issuer },
    `the node that issued the invite cannot be reached (${tried}): ${messageOf(cause)}`,
    { cause }
  )
}
