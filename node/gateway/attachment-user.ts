/**
 * A volume as one of its users sees it: the device, behind the volume's limit. Flush and block status
 * are never held up: a flush is what makes acknowledged changes safe, and neither is I/O of the VM.
 */
import type { BlockDevice, DeviceExtent, DeviceUser } from '../block-device.ts'
import { costOfBytes, costOfRange, type IopsGate, Lane } from './iops-gate.ts'

type Fua = { readonly fua: boolean }

export class AttachmentUser implements DeviceUser {
  readonly #device: BlockDevice
  readonly #gate: IopsGate
  readonly #lane = new Lane()

  constructor(device: BlockDevice, gate: IopsGate) {
    this.#device = device
    this.#gate = gate
  }

  sizeBytes(): number {
    return this.#device.sizeBytes()
  }

  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array[]> {
    if (this.#gate.isOpen) return this.#device.read(offsetBytes, lengthBytes)
    const call = () => this.#device.read(offsetBytes, lengthBytes)
    return this.#gate.run(this.#lane, costOfBytes(lengthBytes), call)
  }

  write(offsetBytes: number, data: Uint8Array, options: Fua): Promise<void> {
    if (this.#gate.isOpen) return this.#device.write(offsetBytes, data, options)
    const call = () => this.#device.write(offsetBytes, data, options)
    return this.#gate.run(this.#lane, costOfBytes(data.length), call)
  }

  trim(offsetBytes: number, lengthBytes: number, options: Fua): Promise<void> {
    if (this.#gate.isOpen) return this.#device.trim(offsetBytes, lengthBytes, options)
    const call = () => this.#device.trim(offsetBytes, lengthBytes, options)
    return this.#gate.run(this.#lane, costOfRange(lengthBytes), call)
  }

  zero(
    offsetBytes: number,
    lengthBytes: number,
    options: Fua & { readonly allocate: boolean }
  ): Promise<void> {
    if (this.#gate.isOpen) return this.#device.zero(offsetBytes, lengthBytes, options)
    const call = () => this.#device.zero(offsetBytes, lengthBytes, options)
    return this.#gate.run(this.#lane, costOfRange(lengthBytes), call)
  }

  flush(): Promise<void> {
    return this.#device.flush()
  }

  status(offsetBytes: number, lengthBytes: number): Promise<DeviceExtent[]> {
    return this.#device.status(offsetBytes, lengthBytes)
  }

  leave(): void {
    this.#gate.leave(this.#lane)
  }
}
