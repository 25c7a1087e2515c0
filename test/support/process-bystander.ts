/** A client that works beside an attack, and tells whether it noticed anything. */
import { Checker, type LoadResult } from './process-checker.ts'
import type { ProcessMesh, ProcessNode } from './process-mesh.ts'
import { connectDisk, type NbdDisk } from './process-nbd.ts'
import { SeededRandom } from './process-random.ts'

export class Bystander {
  readonly #mesh: ProcessMesh
  readonly #pids: readonly number[]
  readonly #checker: Checker
  readonly #disk: NbdDisk
  #over = false
  #load: Promise<LoadResult>

  private constructor(mesh: ProcessMesh, disk: NbdDisk, seed: number) {
    this.#mesh = mesh
    this.#disk = disk
    this.#pids = mesh.nodes.map(node => node.pid)
    this.#checker = new Checker(seed, 512)
    this.#load = this.#checker.load(disk, {
      random: new SeededRandom(seed),
      inFlight: 2,
      readPercent: 50,
      flushEvery: 50,
      until: () => this.#over
    })
  }

  /** On a volume of its own at `gateway`. */
  static async start(mesh: ProcessMesh, gateway: ProcessNode, seed: number): Promise<Bystander> {
    const uri = await mesh.volume(gateway, 'bystander', '--size', '16M')
    return new Bystander(mesh, await connectDisk(uri), seed)
  }

  /** 'undisturbed', or what it noticed; it goes on working until `stop`. */
  async verdict(): Promise<string> {
    const dead = this.#mesh.nodes.filter((node, i) => !node.running || node.pid !== this.#pids[i])
    if (dead.length > 0) return `died: ${dead.map(node => node.tail()).join('\n')}`
    const before = this.#checker.completed
    const wrong = await this.#checker.checkAll(this.#disk, 'acknowledged')
    if (wrong.length > 0) return wrong.join('; ')
    return before > 0 ? 'undisturbed' : 'it never got anything done'
  }

  async stop(): Promise<void> {
    this.#over = true
    const { errors } = await this.#load
    await this.#disk.close()
    if (errors.length > 0) throw new Error(`a bystander saw errors: ${errors.join('; ')}`)
  }
}
