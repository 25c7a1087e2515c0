/**
 * Brings the document of one volume here, or up to date, from a peer that has it: first from those
 * known to keep it, then from anyone.
 */
import type { VolumeView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAP_FETCH_KEEPERS, MAP_FETCH_PARALLEL, MAP_FETCH_TIMEOUT_MS } from '../limits.ts'
import type { Clock, Network, Random } from '../ports.ts'
import type { Documents } from './documents.ts'
import { notFound } from './resolve.ts'
import type { Sync } from './sync.ts'

export interface FetchOptions {
  readonly id: VolumeId
  readonly clock: Clock
  readonly network: Network
  readonly random: Random
  readonly sync: Sync
  readonly documents: Documents
  readonly timeoutMs?: number
}

/**
 * The volume's view, current with at least one peer that has its document if any answers in time.
 * Throws NOT_FOUND (deleted, or nobody has it), or TIMEOUT if it is not here and nobody answered.
 */
export async function fetchDocument(options: FetchOptions): Promise<VolumeView> {
  const { id, clock, documents } = options
  const timeoutMs = options.timeoutMs ?? MAP_FETCH_TIMEOUT_MS
  if (documents.isDeleted(id)) throw notFound(id)
  let isLate = false
  await new Promise<void>(resolve => {
    const timer = clock.after(timeoutMs, () => {
      isLate = true
      resolve()
    })
    askAll(options, () => isLate).finally(() => {
      timer.cancel()
      resolve()
    })
  })
  const view = documents.isDeleted(id) ? undefined : documents.volumeView(id)
  if (view !== undefined) return view
  if (!isLate) throw notFound(id)
  const message = `no member answered within ${timeoutMs} ms what volume ${id} is`
  throw new ShoalError({ code: 'TIMEOUT', afterMs: timeoutMs }, message)
}

/** Asks until one peer had it; never rejects. */
async function askAll(options: FetchOptions, isOver: () => boolean): Promise<void> {
  const { id, documents, sync } = options
  const { keepers, connected, others } = candidates(options)
  const ask = (peer: NodeId) => sync.syncDocument(peer, id).catch(() => false)
  const askSome = async (peers: readonly NodeId[], parallel: number) => {
    for (let at = 0; at < peers.length && !isOver(); at += parallel) {
      if (await firstTrue(peers.slice(at, at + parallel).map(ask))) return true
    }
    return false
  }
  // A keeper sends the whole document, the others mostly that they have none.
  if (await askSome(keepers, MAP_FETCH_KEEPERS)) return
  if (await askSome(connected, MAP_FETCH_PARALLEL)) return
  // Dialling the dead takes long; only for what is not here at all.
  if (documents.volumeView(id) === undefined) await askSome(others, MAP_FETCH_PARALLEL)
}

/** True as soon as one is; false once none was. */
function firstTrue(answers: ReadonlyArray<Promise<boolean>>): Promise<boolean> {
  return new Promise(resolve => {
    for (const answer of answers) void answer.then(is => is && resolve(true))
    void Promise.all(answers).then(() => resolve(false))
  })
}

interface Candidates {
  readonly keepers: NodeId[]
  readonly connected: NodeId[]
  readonly others: NodeId[]
}

/** Connected members that should have the document, the other connected ones, and the rest. */
function candidates(options: FetchOptions): Candidates {
  const { id, documents, network, random, sync } = options
  const view = documents.volumeView(id)
  const placed = view === undefined ? [] : view.layout.flatMap(run => run.nodes.flat())
  const claimed = view === undefined ? [] : view.claims.map(claim => claim.node)
  const likely = new Set([...sync.keepers(id), ...placed, ...claimed])
  const peers = new Set(network.peers().filter(peer => peer !== network.self))
  const members = [...documents.meshView().nodes.values()]
  const rest = members.filter(({ id: peer, leftAt }) => leftAt === undefined && !peers.has(peer))
  const shuffle = (ids: readonly NodeId[]) =>
    ids
      .map(peer => ({ peer, rank: random.fraction() }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ peer }) => peer)
  return {
    keepers: shuffle([...peers].filter(peer => likely.has(peer))),
    connected: shuffle([...peers].filter(peer => !likely.has(peer))),
    others: shuffle(rest.map(entry => entry.id).filter(peer => peer !== network.self))
  }
}
