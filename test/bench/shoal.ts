/** Shoal as the bench measures it: three storage nodes and a gateway, each its own process. */
import { ProcessMesh, THREE_AND_GATEWAY } from '../support/process-mesh.ts'
import type { Subject } from './references.ts'

export async function startShoal(sizeBytes: number): Promise<Subject> {
  const mesh = await ProcessMesh.start(THREE_AND_GATEWAY)
  const gateway = mesh.node('gate')
  const options = ['--size', String(sizeBytes), '--shards', '3']
  const uri = await mesh.volume(gateway, 'bench', ...options)
  return {
    name: 'shoal',
    uri,
    commands: [
      'shoal up (three storage nodes and a gateway, each its own process)',
      `shoal volume create bench ${options.join(' ')}`
    ],
    pids: () => mesh.nodes.map(node => node.pid),
    stop: () => mesh.close()
  }
}
