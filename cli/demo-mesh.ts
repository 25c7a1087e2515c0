/** The mesh of the demo: three storage nodes in three regions and a gateway, on this machine. */
import { join } from 'node:path'
import type { StatusDocument } from '../node/control/documents.ts'
import { Client, Refusal } from './client.ts'
import type { DemoDirectory } from './demo-directory.ts'
import { NotStarted, type Place, type Running, runShoal, startNode } from './demo-process.ts'

const CAPACITY = '4G'
const CONNECT_LIMIT_MS = 60_000
const POLL_MS = 100
const ANY_PORT = 0

export interface DemoMesh {
  readonly storage: readonly Running[]
  readonly gateway: Running
}

export type Say = (line: string) => void

function placesIn(path: string): [Place, Place, Place, Place] {
  const place = (name: string, region: string, capacity: string): Place => {
    return { name, region, capacity, dir: join(path, name) }
  }
  return [
    place('west', 'eu-west', CAPACITY),
    place('north', 'eu-north', CAPACITY),
    place('east', 'us-east', CAPACITY),
    place('gate', 'eu-west', '0')
  ]
}

/**
 * Makes the mesh, or starts the one that the directory holds, and waits until all nodes see each
 * other. `started` is told of every process at once, so that it is stopped whatever comes after.
 */
export async function startMesh(
  directory: DemoDirectory,
  say: Say,
  started: (node: Running) => void
): Promise<DemoMesh> {
  const [first, ...others] = placesIn(directory.path)
  const { ports } = directory
  const up = async (place: Place): Promise<Running> => {
    const node = await startOn(place, ports?.[place.name])
    started(node)
    say(`node ${place.name} (${place.region}) is up, process ${node.pid}`)
    return node
  }
  if (ports === undefined) {
    say('making a mesh of three storage nodes and a gateway ...')
    await runShoal(['init', ...nodeWords(first)])
  } else say(`starting the mesh in ${directory.path} again ...`)
  const head = await up(first)
  const rest = await settleAll(
    others.map(async place => {
      if (ports === undefined) await join_(first, place)
      return up(place)
    })
  )
  const nodes = [head, ...rest]
  directory.save(Object.fromEntries(nodes.map(node => [node.place.name, node.port])))
  const gateway = rest.at(-1)
  if (gateway === undefined) throw new Error('the demo has a gateway')
  await connected(gateway, nodes)
  return { storage: nodes.slice(0, -1), gateway }
}

/** All, or the first failure, but only after every one of them has ended: nobody starts later. */
async function settleAll<T>(tasks: ReadonlyArray<Promise<T>>): Promise<T[]> {
  await Promise.allSettled(tasks)
  return Promise.all(tasks)
}

/** On the port of before, by which the others know it; on any other if somebody took that. */
async function startOn(place: Place, port: number | undefined): Promise<Running> {
  if (port === undefined) return startNode(place, ANY_PORT)
  try {
    return await startNode(place, port)
  } catch (error) {
    if (error instanceof NotStarted && error.code === 'PORT_TAKEN') {
      return await startNode(place, ANY_PORT)
    }
    throw error
  }
}

async function join_(first: Place, place: Place): Promise<void> {
  const { token } = await new Client(first.dir).post<{ token: string }>('/v1/invites')
  await runShoal(['join', token, ...nodeWords(place), '--new-region'])
}

function nodeWords({ name, region, capacity, dir }: Place): string[] {
  const identity = ['--name', name, '--region', region, '--host', `demo-${name}`]
  return [...identity, '--capacity', capacity, '--listen', '/ip4/127.0.0.1/tcp/0', '--dir', dir]
}

/** Until the gateway is connected to every node and has their answers. */
async function connected(gateway: Running, nodes: readonly Running[]): Promise<void> {
  const client = new Client(gateway.place.dir)
  const deadlineMs = performance.now() + CONNECT_LIMIT_MS
  for (;;) {
    const status = await client.get<StatusDocument>('/v1/status')
    const seen = status.nodes.filter(node => node.connected && node.uptimeMs !== undefined)
    if (nodes.every(node => seen.some(other => other.name === node.place.name))) return
    if (performance.now() > deadlineMs) {
      throw new Error(`the nodes did not find each other: ${status.problems.join('; ')}`)
    }
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

export interface DemoExport {
  readonly uri: string
  readonly socketPath: string
  readonly exportName: string
}

/** Creates the volume unless it is there, and attaches it at the gateway. */
export async function attachVolume(
  { gateway }: DemoMesh,
  name: string,
  sizeBytes: number,
  shards?: number
): Promise<DemoExport> {
  const client = new Client(gateway.place.dir)
  try {
    await client.post('/v1/volumes', { name, sizeBytes, ...(shards && { shards }) })
  } catch (error) {
    if (!(error instanceof Refusal && error.document.code === 'NAME_TAKEN')) throw error
  }
  const deadlineMs = performance.now() + CONNECT_LIMIT_MS
  for (;;) {
    try {
      return await client.post<DemoExport>(`/v1/volumes/${name}/attach`)
    } catch (error) {
      // Started again, the daemon may be attaching it by itself at this moment.
      const isBusy = error instanceof Refusal && error.document.code === 'CONFLICT'
      if (!isBusy || performance.now() > deadlineMs) throw error
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }
}
