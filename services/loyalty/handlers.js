// Loyalty: customers get points for what has been sent to them. Business code and nothing else.

const POINTS_PER_PARCEL = 10

export const loyalty = {
  name: 'loyalty',
  description: 'Grants points for parcels; written in JavaScript',
  handlers: [
    {
      name: 'grant',
      type: 'parcel.dispatched',
      topic: 'shipping',
      publishes: { type: 'points.granted', topic: 'loyalty', key: 'order_id' },
      handle (parcel) {
        if (typeof parcel.order_id !== 'string') throw new TypeError('parcel.dispatched has no order_id')
        return { order_id: parcel.order_id, points: POINTS_PER_PARCEL }
      }
    }
  ]
}
