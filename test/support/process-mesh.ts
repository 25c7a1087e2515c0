/**
 * A real mesh for tests, benches and soaks: every node its own `shoal up` process, made with the
 * commands that people use, on ports that the system chooses, in a temporary directory.
 *
 * Invariants: states are waited for, never slept for; `close` ends every process and removes every
 * directory, whatever happened before; a failure is reported with the tail of every node's log.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SHOAL, shoal, shoalJson } from './process-cli.ts'
import { connectedNames, statusOf } from './process-control.ts'
import { Child, isStopped, type Outcome, type SpawnOptions, until } from './process-spawn.ts'

export interface NodePlan {
  readonly name: string
  readonly region: string
  /** As the CLI takes it; '0' makes a gateway without shards. */
  readonly capacity: string
  /** Where its data directory is; inside the mesh's directory by default. */
  readonly dir?: string
  /** On loopback; the system chooses by default. */
  readonly port?: number
}

/** Three storage nodes in three regions, and a gateway. */
export const THREE_AND_GATEWAY: readonly NodePlan[] = [
  { name: 'west', region: 'eu-west', capacity: '4G' },
  { name: 'north', region: 'eu-north', capacity: '4G' },
  { name: 'east', region: 'us-east', capacity: '4G' },
  { name: 'gate', region: 'eu-west', capacity: '0' }
]

/** Unit of st_blocks. */
const DISK_SECTOR_BYTES = 512
/** How a daemon is started, if not by `shoal up`. */
export interface UpOptions extends SpawnOptions {
  readonly args?: readonly string[]
  readonly program?: readonly string[]
}

const UP_MS = 30_000
const JOIN_MS = 30_000
const CONVERGE_MS = 60_000

export class ProcessNode {
  readonly plan: NodePlan
  readonly dir: string
  #child: Child | undefined
  #logs: Child[] = []

  constructor(plan: NodePlan, dir: string) {
    this.plan = plan
    this.dir = dir
  }

  get name(): string {
    return this.plan.name
  }

  get pid(): number {
    if (this.#child === undefined) throw new Error(`${this.name} is not up`)
    return this.#child.pid
  }

  get child(): Child | undefined {
    return this.#child
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.outcome === undefined
  }

  /** `shoal up`, until its control API answers; or another program that starts the daemon. */
  async up(options: UpOptions = {}): Promise<void> {
    const program = options.program ?? [SHOAL, 'up']
    const args = [...program, '--dir', this.dir, ...(options.args ?? [])]
    const child = new Child(`node ${this.name}`, process.execPath, args, options)
    this.#child = child
    this.#logs.push(child)
    await until(
      `${this.name} is up`,
      async () => {
        if (child.outcome) throw new Error(`${this.name} ended at its start\n${child.tail()}`)
        return (await statusOf(this.dir))?.self.pid === child.pid
      },
      UP_MS
    )
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#child?.kill()
  }

  async stop(): Promise<Outcome | undefined> {
    return this.#child?.stop()
  }

  /** Afterwards every thread stands still, and no system call is under way. */
  async freeze(): Promise<void> {
    const child = this.#child
    child?.signal('SIGSTOP')
    if (child !== undefined) await until('it stands still', () => isStopped(child.pid))
  }

  thaw(): void {
    this.#child?.signal('SIGCONT')
  }

  json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    return shoalJson<T>(this.dir, args)
  }

  run(...args: string[]): Promise<Outcome> {
    return shoal(this.dir, args)
  }

  /** What its data directory takes on the disk, holes not counted. */
  diskBytes(): number {
    const names = readdirSync(this.dir, { recursive: true, encoding: 'utf8' })
    return names.reduce((sum, name) => {
      const found = statSync(join(this.dir, name), { throwIfNoEntry: false })
      return sum + (found?.isFile() ? found.blocks * DISK_SECTOR_BYTES : 0)
    }, 0)
  }

  tail(): string {
    return this.#logs.map(child => child.tail()).join('\n')
  }
}

export class ProcessMesh {
  readonly dir: string
  readonly nodes: ProcessNode[] = []
  readonly #cleanups: Array<() => Promise<void> | void> = []

  private constructor(dir: string) {
    this.dir = dir
  }

  /** The first plan's node makes the mesh and must have capacity; the others join one by one. */
  static async start(
    plans: readonly NodePlan[] = THREE_AND_GATEWAY,
    options: UpOptions = {}
  ): Promise<ProcessMesh> {
    const mesh = new ProcessMesh(mkdtempSync(join(tmpdir(), 'shoal-e2e-')))
    try {
      for (const plan of plans) await mesh.add(plan, options)
      await mesh.converged()
      return mesh
    } catch (error) {
      mesh.report()
      await mesh.close()
      throw error
    }
  }

  /** All are members, and none is up: to be started in another way, all at once. */
  static async prepare(plans: readonly NodePlan[]): Promise<ProcessMesh> {
    const mesh = new ProcessMesh(mkdtempSync(join(tmpdir(), 'shoal-e2e-')))
    try {
      const [first, ...others] = plans
      if (first === undefined) throw new Error('an empty mesh')
      const head = await mesh.add(first)
      mesh.nodes.push(...(await Promise.all(others.map(plan => mesh.#make(plan)))))
      await head.stop()
      return mesh
    } catch (error) {
      mesh.report()
      await mesh.close()
      throw error
    }
  }

  /** Made by `init` if it is the first, else by an invite of the first and `join`; then up. */
  async add(plan: NodePlan, options: UpOptions = {}): Promise<ProcessNode> {
    const node = await this.#make(plan)
    this.nodes.push(node)
    await node.up(options)
    return node
  }

  /** A member that is never up; its data directory. */
  async joinOnly(plan: NodePlan): Promise<string> {
    return (await this.#make(plan)).dir
  }

  async #make(plan: NodePlan): Promise<ProcessNode> {
    const node = new ProcessNode(plan, plan.dir ?? join(this.dir, plan.name))
    const { name, region, capacity, port } = plan
    const words = nodeWords(name, region, capacity, port)
    if (this.nodes.length === 0) await shoalJson(node.dir, ['init', ...words])
    else {
      const token = await this.invite()
      await shoalJson(node.dir, ['join', token, ...words, '--new-region'], { timeoutMs: JOIN_MS })
    }
    return node
  }

  async invite(): Promise<string> {
    return (await this.first.json<{ token: string }>('invite')).token
  }

  get first(): ProcessNode {
    const [first] = this.nodes
    if (first === undefined) throw new Error('an empty mesh')
    return first
  }

  node(name: string): ProcessNode {
    const found = this.nodes.find(node => node.name === name)
    if (found === undefined) throw new Error(`no node ${name}`)
    return found
  }

  /** Every running node is connected to every other running node. */
  async converged(nodes = this.nodes.filter(node => node.running)): Promise<void> {
    const names = nodes.map(node => node.name)
    for (const node of nodes) {
      await until(
        `${node.name} sees ${names.join(', ')}`,
        async () => {
          const seen = await connectedNames(node.dir)
          return names.every(name => seen.includes(name))
        },
        CONVERGE_MS
      )
    }
  }

  /** Creates a volume and attaches it at the gateway; the NBD URI. */
  async volume(gateway: ProcessNode, name: string, ...options: string[]): Promise<string> {
    await gateway.json('volume', 'create', name, ...options)
    return attach(gateway, name)
  }

  /** Runs when the mesh closes, after the processes have ended; newest first. */
  onClose(cleanup: () => Promise<void> | void): void {
    this.#cleanups.unshift(cleanup)
  }

  /** Prints what every node logged. */
  report(): void {
    console.error(this.nodes.map(node => node.tail()).join('\n'))
  }

  async close(): Promise<void> {
    for (const node of this.nodes) {
      node.thaw()
      await node.kill()
    }
    for (const cleanup of this.#cleanups) await cleanup()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Runs `body` with a mesh, which is closed whatever happens. */
export async function withMesh(
  plans: readonly NodePlan[],
  body: (mesh: ProcessMesh) => Promise<void>
): Promise<void> {
  const mesh = await ProcessMesh.start(plans)
  try {
    await body(mesh)
  } catch (error) {
    mesh.report()
    throw error
  } finally {
    await mesh.close()
  }
}

/** `volume attach`; the NBD URI. */
export async function attach(node: ProcessNode, name: string, ...options: string[]) {
  const attached = await node.json<Attached>('volume', 'attach', name, ...options)
  return attached.uri
}

/** What `init` and `join` take; every node plays a host of its own. */
export function nodeWords(name: string, region: string, capacity: string, port = 0): string[] {
  const listen = ['--listen', `/ip4/127.0.0.1/tcp/${port}`]
  return ['--name', name, '--host', name, ...listen, '--region', region, '--capacity', capacity]
}

interface Attached {
  uri: string
}
