/**
 * Brings the document of one volume here, or up to date, from a peer that has it: first from those
 * known to keep it, then from anyone.
 */
import type { VolumeView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAP_FETCH_PARALLEL, MAP_FETCH_TIMEOUT_MS } from '../limits.ts'
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
  const { id, sync } = options
  const { likely, others } = candidates(options)
  const ask = (peer: NodeId) => sync.syncDocument(peer, id).catch(() => false)
  for (const peer of likely) if (isOver() || (await ask(peer))) return
  for (let at = 0; at < others.length && !isOver(); at += MAP_FETCH_PARALLEL) {
    const found = await Promise.all(others.slice(at, at + MAP_FETCH_PARALLEL).map(ask))
    if (found.includes(true)) return
  }
}

function candidates(options: FetchOptions): { likely: NodeId[]; others: NodeId[] } {
  const { id, documents, network, random, sync } = options
  const view = documents.volumeView(id)
  const placed = view === undefined ? [] : view.layout.flatMap(run => run.nodes.flat())
  const claimed = view === undefined ? [] : view.claims.map(claim => claim.node)
  const wanted = new Set([...sync.keepers(id), ...placed, ...claimed])
  const others = new Set([...network.peers(), ...documents.meshView().nodes.keys()])
  for (const peer of wanted) others.delete(peer)
  wanted.delete(network.self)
  others.delete(network.self)
  const shuffle = (peers: Set<NodeId>) =>
    [...peers]
      .map(peer => ({ peer, rank: random.fraction() }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ peer }) => peer)
  return { likely: shuffle(wanted), others: shuffle(others) }
}
