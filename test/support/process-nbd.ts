/** The project's own NBD client as tests use it: one connection, checked disk operations. */
import type { CheckedDisk } from './process-checker.ts'

export interface NbdDisk extends CheckedDisk {
  readonly sizeBytes: number
  close: () => Promise<void>
}
