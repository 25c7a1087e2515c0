/** One mesh for all tests of a file: made before the first, gone after the last. */
import { afterAll, afterEach, beforeAll } from 'vitest'
import { type NodePlan, ProcessMesh, type UpOptions } from './process-mesh.ts'

/** Call it at the top of a describe; the answer gives the mesh inside tests. */
export function useMesh(plans?: readonly NodePlan[], options?: UpOptions): () => ProcessMesh {
  let mesh: ProcessMesh | undefined
  beforeAll(async () => {
    mesh = await ProcessMesh.start(plans, options)
  })
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') mesh?.report()
  })
  afterAll(() => mesh?.close())
  return () => {
    if (mesh === undefined) throw new Error('the mesh was never made')
    return mesh
  }
}
